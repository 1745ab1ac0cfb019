use super::{Lab, SECOND, service, set_replicas};

/// A large cluster settles, rests, grows by one and loses a node, on virtual time.
#[test]
fn a_thousand_nodes_and_ten_thousand_tasks() {
    let mut lab = Lab::new(1);
    for number in 2..=1000 {
        lab.join(&format!("n{number}"));
    }
    lab.settle();
    lab.create(service("web", "nginx", 10_000));
    assert_eq!(lab.running("web"), 10_000);
    lab.pass(20 * SECOND);
    lab.update("web", |spec| set_replicas(spec, 10_001));
    lab.kill("n500");
    lab.pass(30 * SECOND);
    assert_eq!(lab.running("web"), 10_001);
}
