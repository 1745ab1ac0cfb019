use docklab_api::models::NodeSpecAvailabilityEnum;
use proptest::prelude::*;

use super::{Behaviour, Lab, SECOND, service, set_image, set_replicas};
use crate::objects::State;

#[derive(Debug, Clone)]
enum Step {
    Scale(i64),
    Update(u8),
    Kill(u8),
    Revive(u8),
    Drain(u8),
    Activate(u8),
    Wait(i64),
    Break(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_i64..8).prop_map(Step::Scale),
        (0_u8..3).prop_map(Step::Update),
        (2_u8..5).prop_map(Step::Kill),
        (2_u8..5).prop_map(Step::Revive),
        (1_u8..5).prop_map(Step::Drain),
        (1_u8..5).prop_map(Step::Activate),
        (1_i64..40).prop_map(Step::Wait),
        any::<bool>().prop_map(Step::Break),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happened: once nodes and images are healthy again, exactly the wanted replicas run, one a slot, and no
    /// task ever went back to an earlier state.
    #[test]
    fn the_cluster_converges(steps in prop::collection::vec(step(), 1..25)) {
        let mut lab = Lab::new(4);
        lab.create(service("web", "v0", 3));
        let mut states: std::collections::BTreeMap<String, (State, State)> = std::collections::BTreeMap::new();
        let mut replicas = 3;
        for step in steps {
            match step {
                Step::Scale(number) => {
                    replicas = number;
                    lab.update("web", |spec| set_replicas(spec, number));
                }
                Step::Update(number) => lab.update("web", |spec| set_image(spec, &format!("v{number}"))),
                Step::Kill(number) => lab.kill(&format!("n{number}")),
                Step::Revive(number) => {
                    let name = format!("n{number}");
                    if !lab.alive.contains_key(&name) {
                        lab.pass(9 * SECOND);
                        lab.revive(&name);
                    }
                }
                Step::Drain(number) => lab.availability(&format!("n{number}"), NodeSpecAvailabilityEnum::DRAIN),
                Step::Activate(number) => lab.availability(&format!("n{number}"), NodeSpecAvailabilityEnum::ACTIVE),
                Step::Wait(seconds) => lab.pass(seconds * SECOND),
                Step::Break(broken) => {
                    lab.behaviour.insert("v1".into(), if broken { Behaviour::Exit(1) } else { Behaviour::Run });
                }
            }
            lab.settle();
            for task in lab.manager.store().tasks.values() {
                let now = (task.status.state, task.desired);
                let before = states.insert(task.id.clone(), now).unwrap_or(now);
                prop_assert!(before.0 <= now.0 && before.1 <= now.1, "{} went back", task.id);
            }
        }
        lab.behaviour.clear();
        lab.pass(9 * SECOND);
        for number in 1..5 {
            let name = format!("n{number}");
            lab.availability(&name, NodeSpecAvailabilityEnum::ACTIVE);
            if !lab.alive.contains_key(&name) {
                lab.revive(&name);
            }
        }
        lab.pass(180 * SECOND);
        let tasks = lab.tasks("web");
        let slots: std::collections::BTreeSet<u64> = tasks.iter().map(|task| task.slot).collect();
        prop_assert_eq!(lab.running("web") as i64, replicas);
        prop_assert_eq!((tasks.len() as i64, slots.len() as i64), (replicas, replicas));
    }
}
