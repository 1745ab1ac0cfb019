//! One fault at a time.

use super::*;

#[test]
fn the_first_manager_leads_at_once() {
    let mut lab = Lab::new(1, 1);
    let name = lab.ask(1).unwrap();
    assert!(lab.acknowledged.contains(&name), "a majority of one needs no time");
}

#[test]
fn a_write_is_acknowledged_when_a_majority_has_it() {
    let mut lab = Lab::new(3, 1);
    lab.split(&[1]);
    let name = lab.ask(1).unwrap();
    lab.pass(3 * SECOND);
    assert!(!lab.acknowledged.contains(&name));
    lab.heal();
    lab.pass(3 * SECOND);
    assert!(lab.acknowledged.contains(&name));
}

#[test]
fn the_others_follow_a_new_leader_when_theirs_is_killed() {
    let mut lab = Lab::new(3, 2);
    lab.ask(1);
    lab.pass(SECOND);
    lab.kill(1);
    let before = lab.now;
    lab.pass(25 * SECOND);
    let leader = lab.leader().expect("a new leader");
    assert_ne!(leader, 1);
    let status = lab.engine(leader).unwrap().status();
    assert!(status.term > 1);
    let follower = if leader == 2 { 3 } else { 2 };
    assert_eq!(lab.engine(follower).unwrap().status().leader, status.node_id);
    assert!(later(before, 25 * SECOND) == lab.now);
    lab.recovers();
}

#[test]
fn a_killed_leader_is_followed_within_twenty_ticks_unless_votes_are_split() {
    let mut fast = 0;
    for seed in 0..10 {
        let mut lab = Lab::new(3, seed);
        lab.kill(1);
        let mut seconds = 0;
        while lab.leader().is_none() {
            lab.pass(SECOND);
            seconds += 1;
            assert!(seconds <= 60, "seed {seed}");
        }
        fast += usize::from(seconds <= 20);
        assert!(seconds >= 10, "nobody stands before ten ticks without the leader: {seconds}");
    }
    assert!(fast >= 6, "{fast} of 10");
}

#[test]
fn a_killed_follower_disturbs_nobody() {
    let mut lab = Lab::new(3, 3);
    let term = lab.engine(1).unwrap().status().term;
    lab.kill(3);
    let name = lab.ask(1).unwrap();
    lab.pass(30 * SECOND);
    assert!(lab.acknowledged.contains(&name));
    assert_eq!(lab.engine(1).unwrap().status().term, term);
    lab.recovers();
    assert_eq!(lab.engine(1).unwrap().status().term, term, "who comes back unseats nobody");
}

#[test]
fn the_smaller_part_of_a_split_group_stops_and_the_larger_goes_on() {
    let mut lab = Lab::new(5, 4);
    lab.split(&[1, 2]);
    let lost = lab.ask(1);
    lab.pass(40 * SECOND);
    assert!(lab.engine(1).unwrap().manager().is_none(), "a leader without a majority steps down");
    let leader = lab.leader().unwrap();
    assert!(leader > 2);
    let kept = lab.ask(leader).unwrap();
    lab.pass(SECOND);
    assert!(lab.acknowledged.contains(&kept));
    assert!(!lab.acknowledged.contains(&lost.unwrap()));
    lab.recovers();
}

#[test]
fn a_split_that_leaves_the_leader_its_majority_changes_nothing() {
    let mut lab = Lab::new(5, 5);
    lab.split(&[4, 5]);
    lab.pass(60 * SECOND);
    assert_eq!(lab.leader(), Some(1));
    let term = lab.engine(1).unwrap().status().term;
    lab.recovers();
    assert_eq!(lab.engine(1).unwrap().status().term, term, "those who were cut off do not unseat it");
}

#[test]
fn a_leader_that_hears_nobody_steps_down() {
    let mut lab = Lab::new(3, 6);
    // It is still heard, but no answer reaches it.
    lab.cut(2, 1);
    lab.cut(3, 1);
    lab.pass(60 * SECOND);
    assert!(lab.engine(1).unwrap().manager().is_none());
    lab.recovers();
}

#[test]
fn a_follower_that_hears_nobody_unseats_nobody() {
    let mut lab = Lab::new(3, 7);
    let term = lab.engine(1).unwrap().status().term;
    lab.cut(1, 3);
    lab.pass(60 * SECOND);
    let name = lab.ask(1).unwrap();
    lab.pass(SECOND);
    assert!(lab.acknowledged.contains(&name));
    lab.recovers();
    assert_eq!(lab.engine(1).unwrap().status().term, term);
}

#[test]
fn without_a_majority_nothing_is_acknowledged_until_one_comes_back() {
    let mut lab = Lab::new(5, 8);
    for id in [3, 4, 5] {
        lab.kill(id);
    }
    let name = lab.ask(1).unwrap();
    lab.pass(60 * SECOND);
    assert!(!lab.acknowledged.contains(&name));
    assert_eq!(lab.leader(), None);
    lab.start(3);
    lab.pass(40 * SECOND);
    let leader = lab.leader().expect("three of five are enough");
    let name = lab.ask(leader).unwrap();
    lab.pass(SECOND);
    assert!(lab.acknowledged.contains(&name));
}

#[test]
fn a_leader_whose_disk_is_full_is_replaced() {
    let mut lab = Lab::new(3, 9);
    lab.machines.get_mut(&1).unwrap().full = true;
    let name = lab.ask(1).unwrap();
    lab.pass(40 * SECOND);
    assert!(!lab.acknowledged.contains(&name));
    let leader = lab.leader().unwrap();
    let term = |lab: &Lab, id| lab.engine(id).unwrap().status().term;
    assert_ne!(leader, 1, "terms {} {}", term(&lab, leader), term(&lab, 1));
    lab.recovers();
}

#[test]
fn a_follower_whose_disk_is_full_promises_nothing() {
    let mut lab = Lab::new(3, 10);
    lab.machines.get_mut(&2).unwrap().full = true;
    lab.kill(3);
    let name = lab.ask(1).unwrap();
    lab.pass(5 * SECOND);
    assert!(!lab.acknowledged.contains(&name), "one disk of three is no majority");
    lab.recovers();
}

#[test]
fn a_clock_that_is_set_changes_no_leader_and_no_node() {
    for jump in [3600 * SECOND, -3600 * SECOND] {
        let mut lab = Lab::new(3, 11);
        lab.ask(1);
        lab.pass(20 * SECOND);
        let term = lab.engine(1).unwrap().status().term;
        for id in [1, 3] {
            lab.machines.get_mut(&id).unwrap().clock = jump;
            lab.pass(60 * SECOND);
            assert_eq!(lab.leader(), Some(1), "{jump}");
            assert_eq!(lab.engine(1).unwrap().status().term, term, "{jump}");
            let nodes = lab.engine(1).unwrap().store().nodes.values();
            assert_eq!(nodes.filter(|node| node.state == NodeState::READY).count(), 3, "{jump}");
        }
        lab.recovers();
    }
}

#[test]
fn a_killed_manager_comes_back_from_every_boundary_between_its_records() {
    // Until the script no longer reaches the boundary.
    for boundary in 0.. {
        let mut lab = Lab::new(3, 12);
        lab.machines.get_mut(&2).unwrap().dies_after = Some(boundary);
        for _ in 0..4 {
            lab.ask(1);
            lab.pass(SECOND);
        }
        let died = lab.engine(2).is_none();
        lab.machines.get_mut(&2).unwrap().dies_after = None;
        lab.start(2);
        lab.pass(5 * SECOND);
        assert_eq!(lab.engine(2).unwrap().store(), lab.engine(1).unwrap().store(), "boundary {boundary}");
        if !died {
            assert!(boundary >= 4, "the script writes records");
            break;
        }
    }
}

#[test]
fn a_lone_manager_comes_back_from_every_boundary_with_all_that_it_acknowledged() {
    for boundary in 0..40 {
        let mut lab = Lab::new(1, 13);
        lab.machines.get_mut(&1).unwrap().dies_after = Some(boundary);
        while lab.engine(1).is_some() && lab.services < 40 {
            lab.ask(1);
            lab.pass(SECOND);
        }
        lab.machines.get_mut(&1).unwrap().dies_after = None;
        lab.start(1);
        lab.pass(30 * SECOND);
        let store = lab.engine(1).unwrap().store();
        let names: BTreeSet<&str> = store.services.values().map(|service| service.name()).collect();
        for name in &lab.acknowledged {
            assert!(names.contains(name.as_str()), "boundary {boundary}: {name} is lost");
        }
    }
}
