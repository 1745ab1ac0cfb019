use std::time::Instant;

use super::{Lab, SECOND, service, set_replicas};

/// Prints how long a large cluster takes; nothing is asserted of time. Run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_thousand_nodes_and_ten_thousand_tasks() {
    let mut lab = Lab::new(1);
    let began = Instant::now();
    for number in 2..=1000 {
        lab.join(&format!("n{number}"));
    }
    lab.settle();
    println!("1,000 nodes joined: {:?}", began.elapsed());
    let began = Instant::now();
    lab.create(service("web", "nginx", 10_000));
    println!("10,000 tasks running: {:?}", began.elapsed());
    assert_eq!(lab.running("web"), 10_000);
    let began = Instant::now();
    lab.pass(20 * SECOND);
    println!("20 s at rest: {:?}", began.elapsed());
    let began = Instant::now();
    lab.update("web", |spec| set_replicas(spec, 10_001));
    println!("one more: {:?}", began.elapsed());
    let began = Instant::now();
    lab.kill("n500");
    lab.pass(30 * SECOND);
    println!("a node lost and replaced: {:?}", began.elapsed());
    assert_eq!(lab.running("web"), 10_001);
}
