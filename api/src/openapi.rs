//! What `/openapi.json` says beside what the handlers say of themselves.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, HeaderBuilder, InfoBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Type,
};
use utoipa::{IntoResponses, openapi};

/// A document without paths.
pub fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Tributary")
        .description(Some(
            "Customer profiles, daily summaries and events, as the pipelines have written them.",
        ))
        .version(env!("CARGO_PKG_VERSION"));
    OpenApi::new(info.build(), openapi::Paths::new())
}

/// The document as it is served. A query parameter without a value counts as absent, which utoipa has no word for.
pub fn json(document: &OpenApi) -> String {
    let mut json = serde_json::to_value(document).expect("a document is plain data");
    let operations = json["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in operations {
        let parameters = operation.pointer_mut("/get/parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "query") {
            parameter["allowEmptyValue"] = true.into();
        }
    }
    json.to_string()
}

/// What any answer out of a store may be besides.
pub struct StoreFailures;

impl IntoResponses for StoreFailures {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let seconds = HeaderBuilder::new().schema(Some(openapi::Object::with_type(Type::Integer)));
        let unavailable = failure("`unavailable`: a store is down, too slow, or too much is asked at once");
        BTreeMap::from([
            ("414".to_owned(), failure("`path-too-long`").build().into()),
            (
                "500".to_owned(),
                failure("`internal-error`: the log says more, under the answer's `x-request-id`")
                    .build()
                    .into(),
            ),
            ("503".to_owned(), unavailable.header("retry-after", seconds.build()).build().into()),
        ])
    }
}

/// Every path of `document` asks for a key.
pub fn ask_for_keys(document: &mut OpenApi) {
    const SCHEME: &str = "key";
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = document.components.take().unwrap_or_default();
    document.components = Some(ComponentsBuilder::from(components).security_scheme(SCHEME, bearer).build());
    for operation in document.paths.paths.values_mut().filter_map(|item| item.get.as_mut()) {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], _>(SCHEME, [])]);
        let text = HeaderBuilder::new().schema(Some(openapi::Object::with_type(Type::String))).build();
        let unauthorized =
            failure("`unauthorized`: no key, or an unknown one").header("www-authenticate", text);
        operation.responses.responses.insert("401".to_owned(), unauthorized.build().into());
    }
}

fn failure(description: &str) -> ResponseBuilder {
    let body = Content::new(Some(Ref::from_schema_name("Failure_NoData")));
    ResponseBuilder::new().description(description).content("application/json", body)
}
