// Reads /openapi.json and makes a form of each operation. Text is only ever set as text.

const LONGEST_SHOWN = 200_000;

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const key = document.querySelector("#key");

const field = ({ name, in: place, required, description, schema }) => {
  const kind = [].concat(schema.type ?? []).filter((type) => type !== "null").join();
  const input = element("input", { name, required: Boolean(required) });
  input.dataset.place = place;
  if (schema.format === "date") input.type = "date";
  else if (kind === "integer") {
    input.inputMode = "numeric";
    input.pattern = "-?[0-9]+";
  }
  return element("label", {}, element("span", { textContent: name }), input,
    element("small", { textContent: description ?? "" }));
};

const address = (path, inputs) => {
  const query = new URLSearchParams();
  for (const { name, value, dataset } of inputs) {
    if (dataset.place === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "") query.set(name, value);
  }
  return query.size ? `${path}?${query}` : path;
};

const shown = async (answer) => {
  let text = await answer.text();
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* metrics are not JSON */ }
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}\n… (${text.length} characters)` : text;
};

const send = async (path, output) => {
  const secret = key.querySelector("input").value;
  output.replaceChildren(element("p", { textContent: `GET ${path} …` }));
  const began = performance.now();
  try {
    const answer = await fetch(path, { headers: secret ? { authorization: `Bearer ${secret}` } : {} });
    const body = await shown(answer);
    const took = (performance.now() - began).toFixed(1);
    const id = answer.headers.get("x-request-id") ?? "none";
    output.replaceChildren(
      element("p", { textContent: `${answer.status} ${answer.statusText} in ${took} ms, request ${id}` },
        " · ", element("a", { href: path, textContent: path })),
      element("pre", { tabIndex: 0, textContent: body }));
  } catch (error) {
    output.replaceChildren(element("p", { textContent: `No answer: ${error.message}. Is the API still running?` }));
  }
};

const operation = (path, { summary, description, parameters = [], responses }) => {
  const output = element("div", { ariaLive: "polite" });
  const form = element("form", {}, ...parameters.map(field), element("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(address(path, form.querySelectorAll("input")), output);
  });
  const answers = Object.entries(responses).map(([status, { description: text }]) =>
    element("tr", {}, element("td", { textContent: status }), element("td", { textContent: text })));
  return element("section", {},
    element("h2", { textContent: `GET ${path}` }),
    element("p", { textContent: [summary, description].filter(Boolean).join(" ") }),
    form, output,
    element("details", {}, element("summary", { textContent: "Answers" }), element("table", {}, ...answers)));
};

const about = document.querySelector("#about");
try {
  const { info, paths, components } = await (await fetch("/openapi.json")).json();
  about.replaceChildren(`${info.description} Version ${info.version}, described by `,
    element("a", { href: "/openapi.json", textContent: "/openapi.json" }), ".");
  key.hidden = !components?.securitySchemes;
  document.querySelector("#operations").replaceChildren(
    ...Object.entries(paths).map(([path, item]) => operation(path, item.get)));
} catch (error) {
  about.textContent = `/openapi.json cannot be read: ${error.message}. Is the API still running?`;
}
