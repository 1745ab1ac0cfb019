//! Managers that come and go.

use super::*;

const QUORUM: &str = "rpc error: code = FailedPrecondition desc = can't remove member from the raft: this would result in a \
                      loss of quorum";

fn status(lab: &Lab, id: u64) -> Option<(bool, bool)> {
    let leader = lab.leader().unwrap();
    let node = lab.engine(leader).unwrap().manager().unwrap().inspect_node(&lab.machines[&id].node).unwrap();
    node.manager_status.map(|status| {
        let reachable = status.reachability == Some(docklab_api::models::Reachability::REACHABLE);
        (status.leader == Some(true), reachable)
    })
}

#[test]
fn managers_that_join_get_a_vote_when_they_have_the_log() {
    let lab = Lab::new(3, 20);
    assert_eq!(lab.voters(), 3);
    assert_eq!(status(&lab, 1), Some((true, true)));
    assert_eq!(status(&lab, 3), Some((false, true)));
    assert_eq!(lab.engine(3).unwrap().store(), lab.engine(1).unwrap().store());
}

#[test]
fn a_manager_that_never_comes_does_not_count_for_the_majority() {
    let mut lab = Lab::new(1, 21);
    let now = lab.now;
    let engine = lab.machines.get_mut(&1).unwrap().engine.as_mut().unwrap();
    let token = engine.store().cluster.as_ref().unwrap().token(true);
    let joined = engine.change(now, |manager| manager.join(now, &token, description("n2"), "10.0.1.2")).unwrap();
    let node = joined.0.unwrap().0;
    engine.add(now, 2, Peer { node, address: "10.0.1.2:2377".into() }).unwrap();
    lab.pass(60 * SECOND);
    let name = lab.ask(1).unwrap();
    lab.pass(SECOND);
    assert!(lab.acknowledged.contains(&name));
}

#[test]
fn a_killed_manager_is_shown_as_unreachable_within_three_seconds() {
    let mut lab = Lab::new(3, 22);
    lab.kill(3);
    lab.pass(3 * SECOND);
    assert_eq!(status(&lab, 3), Some((false, false)));
    lab.start(3);
    lab.pass(3 * SECOND);
    assert_eq!(status(&lab, 3), Some((false, true)));
}

#[test]
fn a_demoted_manager_leaves_the_group() {
    let mut lab = Lab::new(3, 23);
    lab.set_role(3, NodeSpecRoleEnum::WORKER).unwrap();
    lab.pass(5 * SECOND);
    assert_eq!(lab.voters(), 2);
    assert_eq!(status(&lab, 3), None);
}

#[test]
fn the_last_manager_cannot_be_demoted() {
    let mut lab = Lab::new(1, 24);
    assert_eq!(
        lab.set_role(1, NodeSpecRoleEnum::WORKER).unwrap_err().to_string(),
        "rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm"
    );
}

#[test]
fn a_manager_without_which_there_is_no_majority_cannot_be_demoted() {
    let mut lab = Lab::new(3, 25);
    lab.kill(3);
    lab.pass(4 * SECOND);
    assert_eq!(lab.set_role(2, NodeSpecRoleEnum::WORKER).unwrap_err().to_string(), QUORUM);
    // The dead one itself may go.
    lab.set_role(3, NodeSpecRoleEnum::WORKER).unwrap();
    lab.pass(5 * SECOND);
    assert_eq!(lab.voters(), 2);
}

#[test]
fn a_leader_that_is_demoted_hands_over_first() {
    let mut lab = Lab::new(3, 26);
    lab.set_role(1, NodeSpecRoleEnum::WORKER).unwrap();
    lab.pass(6 * SECOND);
    let leader = lab.leader().unwrap();
    assert_ne!(leader, 1);
    assert_eq!(lab.voters(), 2);
    assert_eq!(lab.engine(leader).unwrap().manager().unwrap().find_node("n1").unwrap().id, lab.machines[&1].node);
}

#[test]
fn a_manager_of_the_group_cannot_be_removed_and_a_demoted_one_can() {
    let mut lab = Lab::new(3, 27);
    let node = lab.machines[&3].node.clone();
    let remove = |lab: &mut Lab| {
        let now = lab.now;
        let engine = lab.machines.get_mut(&1).unwrap().engine.as_mut().unwrap();
        engine.change(now, |manager| manager.remove_node(now, "n3", true)).unwrap().0
    };
    let refusal = remove(&mut lab).unwrap_err().to_string();
    assert_eq!(
        refusal,
        format!(
            "rpc error: code = FailedPrecondition desc = node {node} is a cluster manager and is a member of the raft \
             cluster. It must be demoted to worker before removal"
        )
    );
    lab.set_role(3, NodeSpecRoleEnum::WORKER).unwrap();
    lab.pass(5 * SECOND);
    remove(&mut lab).unwrap();
}

#[test]
fn a_manager_that_fell_behind_the_log_gets_the_store_whole() {
    let mut lab = Lab::new(3, 28);
    let now = lab.now;
    let engine = lab.machines.get_mut(&1).unwrap().engine.as_mut().unwrap();
    let cluster = engine.store().cluster.clone().unwrap();
    let mut spec = cluster.spec.clone();
    let raft = spec.raft.as_mut().unwrap();
    (raft.snapshot_interval, raft.log_entries_for_slow_followers) = (Some(5), Some(1));
    engine.change(now, |manager| manager.update_swarm(now, cluster.meta.version, spec, rotation())).unwrap().0.unwrap();
    lab.kill(3);
    for _ in 0..20 {
        lab.ask(1);
        lab.pass(SECOND);
    }
    assert!(lab.engine(1).unwrap().status().snapshot_index > 20);
    assert!(lab.machines[&1].disk.len() < 15, "what a snapshot replaces is deleted: {}", lab.machines[&1].disk.len());
    lab.recovers();
    // Its own records are enough to come back from, too.
    lab.kill(3);
    lab.start(3);
    lab.pass(3 * SECOND);
    assert_eq!(lab.engine(3).unwrap().store(), lab.engine(1).unwrap().store());
}

#[test]
fn one_manager_goes_on_alone_with_all_that_was_agreed_on() {
    let mut lab = Lab::new(3, 29);
    let name = lab.ask(1).unwrap();
    lab.pass(3 * SECOND);
    for id in [1, 2, 3] {
        lab.kill(id);
    }
    let seed = lab.random.bytes();
    let machine = &lab.machines[&3];
    let records: Vec<_> = machine.disk.clone().into_iter().collect();
    let peer = Peer { node: machine.node.clone(), address: "10.0.1.3:2377".into() };
    let member = Member::force_new(3, peer, records, Timing::default(), seed, lab.now).unwrap();
    lab.machines.get_mut(&3).unwrap().engine = Some(member);
    lab.pass(5 * SECOND);
    assert_eq!(lab.leader(), Some(3));
    assert_eq!(lab.voters(), 1);
    let names: Vec<&str> = lab.engine(3).unwrap().store().services.values().map(|service| service.name()).collect();
    assert_eq!(names, [name]);
    let later_name = lab.ask(3).unwrap();
    assert!(lab.acknowledged.contains(&later_name));
    // And comes back as such.
    lab.kill(3);
    lab.start(3);
    lab.pass(30 * SECOND);
    assert_eq!(lab.leader(), Some(3));
    assert_eq!(lab.engine(3).unwrap().store().services.len(), 2);
}

#[test]
fn shorter_ticks_make_faster_elections() {
    let mut lab = Lab::new(3, 30);
    for machine in lab.machines.values_mut() {
        machine.engine.as_mut().unwrap().timing.tick = 100 * MILLISECOND;
    }
    lab.pass(2 * SECOND);
    lab.kill(1);
    lab.pass(3 * SECOND);
    assert!(lab.leader().is_some());
}
