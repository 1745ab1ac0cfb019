//! `docklab serve` gives a shell away: only to the page that it handed out.

use docklab_tests::{Server, get, request};

#[test]
fn without_the_token_there_is_nothing() {
    let server = Server::start(false);
    for path in ["/", "/api/session", "/nodes/node1/terminal", "/nodes/node1/engine/containers/json"] {
        let answer = get(server.port, path, &[]).expect("an answer");
        assert_eq!(answer.status, 401, "{path}");
    }
    let wrong = get(server.port, "/api/session", &["Authorization: Bearer 0123"]).expect("an answer");
    assert_eq!(wrong.status, 401);
    let right = format!("Authorization: Bearer {}", server.token);
    assert_eq!(get(server.port, "/api/session", &[&right]).expect("an answer").status, 200);
}

#[test]
fn another_page_and_another_name_are_refused_even_with_the_token() {
    let server = Server::start(false);
    let token = format!("Authorization: Bearer {}", server.token);
    let foreign = get(server.port, "/api/session", &[&token, "Origin: http://evil.example"]).expect("an answer");
    assert_eq!(foreign.status, 403);
    let rebound = get(server.port, "/api/session", &[&token, "Host: evil.example"]).expect("an answer");
    assert_eq!(rebound.status, 403);
    let own = format!("Origin: http://127.0.0.1:{}", server.port);
    assert_eq!(get(server.port, "/api/session", &[&token, &own]).expect("an answer").status, 200);
}

#[test]
fn no_path_leads_out_of_the_page() {
    let server = Server::start(false);
    let token = format!("Authorization: Bearer {}", server.token);
    for path in ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/labs/../../etc/passwd", "//etc/passwd"] {
        let answer = request(server.port, "GET", path, &[&token], "").expect("an answer");
        assert!(!answer.body.contains("root:"), "{path} reads the machine's files");
    }
}
