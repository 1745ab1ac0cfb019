//! Every request must prove that it comes from the page that this server handed out: the token, the Host that was
//! announced (against DNS rebinding) and, from a browser, our own Origin (against other pages).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{Failure, Server};

const COOKIE: &str = "docklab_token";

pub(super) async fn check(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_our_host(&server, headers.get(header::HOST)) {
        return Failure(StatusCode::FORBIDDEN, "this server does not answer to that host name".to_owned())
            .into_response();
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !is_our_origin(&server, origin)
    {
        return Failure(StatusCode::FORBIDDEN, "requests from other pages are refused".to_owned()).into_response();
    }
    let in_query = form_token(request.uri().query()).is_some_and(|token| same(&token, &server.token));
    if !in_query && !has_token(headers, &server.token) {
        let text = "the token is missing or wrong; open the address that `docklab serve` printed";
        return Failure(StatusCode::UNAUTHORIZED, text.to_owned()).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if in_query {
        // The page's scripts and styles are fetched by the browser, which sends no header of ours.
        let cookie = format!("{COOKIE}-{}={}; HttpOnly; SameSite=Strict; Path=/", server.port, server.token);
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    headers.insert("X-Content-Type-Options", HeaderValue::from_static("nosniff"));
    headers.insert("Referrer-Policy", HeaderValue::from_static("no-referrer"));
    headers.insert("X-Frame-Options", HeaderValue::from_static("SAMEORIGIN"));
    response
}

fn form_token(query: Option<&str>) -> Option<String> {
    query?.split('&').find_map(|pair| pair.strip_prefix("token=")).map(ToOwned::to_owned)
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if bearer.is_some_and(|given| same(given, token)) {
        return true;
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .any(|(name, value)| name.starts_with(COOKIE) && same(value, token))
}

/// Compares in constant time: how long it takes tells nothing about where the first difference is.
fn same(given: &str, token: &str) -> bool {
    given.len() == token.len() && given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn is_our_host(server: &Server, host: Option<&HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else { return false };
    our_hosts(server).iter().any(|ours| ours == host)
}

fn is_our_origin(server: &Server, origin: &HeaderValue) -> bool {
    let Some(host) = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://")) else { return false };
    our_hosts(server).iter().any(|ours| ours == host)
}

fn our_hosts(server: &Server) -> [String; 4] {
    let port = server.port;
    let own = match server.address {
        std::net::IpAddr::V4(address) => format!("{address}:{port}"),
        std::net::IpAddr::V6(address) => format!("[{address}]:{port}"),
    };
    [own, format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            token: "secret".to_owned(),
            port: 8737,
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            engine: "none",
            session: None,
            seed: None,
            labs: "labs".into(),
            page: "page".into(),
            book: "book".into(),
            author: None,
        }
    }

    #[test]
    fn a_name_that_was_rebound_to_loopback_is_refused() {
        assert!(!is_our_host(&server(), Some(&HeaderValue::from_static("evil.example:8737"))));
        assert!(!is_our_host(&server(), None));
        assert!(is_our_host(&server(), Some(&HeaderValue::from_static("localhost:8737"))));
    }

    #[test]
    fn another_page_is_refused() {
        assert!(!is_our_origin(&server(), &HeaderValue::from_static("http://localhost:9999")));
        assert!(!is_our_origin(&server(), &HeaderValue::from_static("null")));
        assert!(is_our_origin(&server(), &HeaderValue::from_static("http://127.0.0.1:8737")));
    }

    #[test]
    fn a_token_counts_in_header_and_cookie_and_only_whole() {
        let with = |name: header::HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        assert!(has_token(&with(header::AUTHORIZATION, "Bearer secret"), "secret"));
        assert!(has_token(&with(header::COOKIE, "a=b; docklab_token-8737=secret"), "secret"));
        assert!(!has_token(&with(header::AUTHORIZATION, "Bearer secre"), "secret"));
        assert!(!has_token(&HeaderMap::new(), "secret"));
    }
}
