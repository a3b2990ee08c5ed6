# Lists and reads the outputs of pipeline C in LAKE, the argument, again and again, as a reader from outside does.
# Ends with its standard input, after a last look, and prints what it has seen as JSON. Ends at once, with 1, when a
# row is in two places or one that was seen is gone.
import datetime, glob, hashlib, hmac, json, os, select, sys, tempfile
import urllib.parse, urllib.request
import xml.etree.ElementTree as xml
import duckdb

KEYS = {"events": "event_id", "events_malformed": "concat_ws('-', topic, partition, \"offset\")"}
BETWEEN_LOOKS_S = 0.05
ATTEMPTS = 5


class Directory:
    def __init__(self, url):
        self.root = urllib.parse.unquote(url.path)

    def list(self, table):
        found = {}
        for path in glob.glob(os.path.join(glob.escape(self.root), table, "**", "*.parquet"), recursive=True):
            at = os.stat(path)
            found[path] = (at.st_ino, at.st_mtime_ns, at.st_size)
        return found

    # DuckDB opens a file several times; what is replaced meanwhile would be read by another's footer.
    def get(self, path, _):
        with open(path, "rb") as file:
            return file.read()


class S3:
    def __init__(self, url):
        self.bucket, self.prefix = url.netloc, url.path.strip("/")
        self.endpoint, self.region = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_REGION"]

    def get(self, path, query):
        host = urllib.parse.urlparse(self.endpoint).netloc
        path = urllib.parse.quote(f"/{self.bucket}/{path}")
        query = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        head = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": now}
        names = ";".join(head)
        lines = "".join(f"{name}:{value}\n" for name, value in head.items())
        request = "\n".join(["GET", path, query, lines, names, empty])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
        for part in [*scope.split("/"), text]:
            key = hmac.digest(key, part.encode(), "sha256")
        head["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
                                 f"SignedHeaders={names}, Signature={key.hex()}")
        request = urllib.request.Request(f"{self.endpoint}{path}?{query}", headers=head)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def list(self, table):
        found, query = {}, {"list-type": "2", "prefix": f"{self.prefix}/{table}/"}
        while True:
            page = xml.fromstring(self.get("", query))
            text = lambda at, name: at.findtext("{*}" + name)
            found.update({text(at, "Key"): text(at, "ETag") for at in page.iterfind("{*}Contents")})
            if text(page, "IsTruncated") != "true":
                return found
            query["continuation-token"] = text(page, "NextContinuationToken")

def look():
    for table, key in KEYS.items():
        listed = lake.list(table)
        for path in [path for path in rows if path[0] == table and path[1] not in listed]:
            fail(f"{path[1]} is gone, with {len(rows[path][1])} rows")
        for path, version in listed.items():
            if rows.get((table, path), (None, None))[0] != version:
                take(table, path, version, read(path, f"SELECT {key} FROM read_parquet(?)"))


# A reader in the middle of a file that is being replaced reads it again.
def read(path, query):
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
                file.write(lake.get(path, {}))
                file.flush()
                return [row[0] for row in duckdb.execute(query, [file.name]).fetchall()]
        except (duckdb.Error, OSError) as error:
            seen["read_again"] += 1
            if attempt == ATTEMPTS:
                fail(f"{path} cannot be read: {error}")


def take(table, path, version, found):
    before, now = rows.get((table, path), (None, set()))[1], set(found)
    if len(now) < len(found):
        fail(f"{path} holds {len(found) - len(now)} rows twice")
    for key in now - before:
        if (table, key) in place:
            fail(f"{key} is in {path} and in {place[table, key]}")
        place[table, key] = path
    if before - now:
        fail(f"{len(before - now)} rows are gone from {path}, {min(before - now)} among them")
    rows[table, path] = (version, now)
    seen["changes"] += 1


def fail(why):
    sys.exit(f"the observer, at look {seen['looks'] + 1}: {why}")


url = urllib.parse.urlparse(sys.argv[1])
lake = S3(url) if url.scheme == "s3" else Directory(url)
rows, place, seen = {}, {}, {"looks": 0, "changes": 0, "read_again": 0}
duckdb.execute("SET threads = 1")
ended = False
while not ended:
    look()
    if not seen["looks"]:
        print("looking", flush=True)
    seen["looks"] += 1
    ended = bool(select.select([sys.stdin], [], [], BETWEEN_LOOKS_S)[0])
look()
seen["rows"] = len(place)
print(json.dumps(seen))
