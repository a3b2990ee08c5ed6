//! HTTP/1.1 messages, read just far enough to know where one ends.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The head of a request or an answer, with the empty line.
#[derive(Debug)]
pub struct Head {
    text: String,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Sized(u64),
    /// Chunks, each with its size; one of size 0 is the last.
    Chunked,
    /// The end of the connection.
    UntilEnd,
}

impl Head {
    /// The next head, `None` at the end of the connection.
    pub async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Self>> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            if from.read_line(&mut text).await? == 0 {
                return if text.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(Some(Self { text }))
    }

    /// As it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// A request's method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.word(0)
    }

    /// A request's path and query, without percent-encoding.
    #[must_use]
    pub fn target(&self) -> String {
        let mut parts = self.word(1).split('%');
        let mut decoded = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let byte = u8::from_str_radix(&part[..2], 16).expect("two hexadecimal digits");
            decoded.push(char::from(byte));
            decoded += &part[2..];
        }
        decoded
    }

    /// An answer's status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.word(1).parse().expect("a status is a number")
    }

    fn word(&self, index: usize) -> &str {
        self.text.split([' ', '\r']).nth(index).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn body(&self) -> Option<Body> {
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Some(Body::Chunked);
        }
        self.header("content-length").map(|size| Body::Sized(size.parse().expect("a length is a number")))
    }

    /// The body of a request.
    #[must_use]
    pub fn request_body(&self) -> Body {
        self.body().unwrap_or(Body::Sized(0))
    }

    /// The body of the answer to a request with `method`.
    #[must_use]
    pub fn answer_body(&self, method: &str) -> Body {
        match self.status() {
            _ if method == "HEAD" => Body::Sized(0),
            204 | 304 => Body::Sized(0),
            _ => self.body().unwrap_or(Body::UntilEnd),
        }
    }

    /// Tells a client that waits to be asked for its body to send it.
    pub async fn invite_body(&self, client: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.header("expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        Ok(())
    }
}

impl Body {
    /// Copies the body as it is, its framing included.
    pub async fn copy(
        self,
        from: &mut (impl AsyncBufRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        match self {
            Self::Sized(bytes) => copy_exactly(bytes, from, to).await?,
            Self::UntilEnd => drop(tokio::io::copy_buf(from, to).await?),
            Self::Chunked => loop {
                let mut line = String::new();
                from.read_line(&mut line).await?;
                to.write_all(line.as_bytes()).await?;
                let size = line.split([';', '\r']).next().unwrap_or_default();
                let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
                // The last chunk has no content; trailers may follow, up to an empty line.
                if size == 0 {
                    while line != "\r\n" {
                        line.clear();
                        if from.read_line(&mut line).await? == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                        to.write_all(line.as_bytes()).await?;
                    }
                    break;
                }
                copy_exactly(size + 2, from, to).await?;
            },
        }
        to.flush().await
    }
}

async fn copy_exactly(
    bytes: u64,
    from: &mut (impl AsyncBufRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let copied = tokio::io::copy_buf(&mut from.take(bytes), to).await?;
    if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_ends_where_its_head_says() {
        for (head, body) in [
            ("GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n", ""),
            ("PUT /a HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\n", "12345"),
            (
                "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "5;x=y\r\n12345\r\nA\r\n0123456789\r\n0\r\n\r\n",
            ),
            ("PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nx-trailer: y\r\n\r\n"),
        ] {
            let text = format!("{head}{body}GET /next");
            let mut from = text.as_bytes();
            let read = Head::read(&mut from).await.unwrap().unwrap();
            assert_eq!(read.bytes(), head.as_bytes());
            let mut copied = Vec::new();
            read.request_body().copy(&mut from, &mut copied).await.unwrap();
            assert_eq!((std::str::from_utf8(&copied).unwrap(), from), (body, &b"GET /next"[..]), "{head}");
        }
    }

    #[tokio::test]
    async fn a_target_is_decoded() {
        let head = Head::read(&mut &b"GET /day%3D1/x%20y?a=%2F HTTP/1.1\r\n\r\n"[..]).await.unwrap().unwrap();
        assert_eq!((head.method(), head.target().as_str()), ("GET", "/day=1/x y?a=/"));
    }

    #[tokio::test]
    async fn an_answer_to_head_has_no_body_whatever_its_length_says() {
        let mut from = &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"[..];
        let head = Head::read(&mut from).await.unwrap().unwrap();
        assert_eq!((head.status(), head.answer_body("HEAD")), (200, Body::Sized(0)));
        assert_eq!(head.answer_body("GET"), Body::Sized(9));
        assert!(Head::read(&mut from).await.unwrap().is_none());
    }
}
