//! A hundred random schedules of faults. A failure names its seed, which plays the same schedule again.

use super::*;

/// Returns how many writes were acknowledged and how many terms had a leader.
fn play(seed: u64) -> (usize, usize) {
    let count = if seed.is_multiple_of(2) { 3 } else { 5 };
    let mut lab = Lab::new(count, seed);
    for _ in 0..14 {
        let id = 1 + lab.random.below(count);
        let other = 1 + lab.random.below(count);
        match lab.random.below(12) {
            0 | 1 => lab.kill(id),
            2 | 3 => lab.start(id),
            4 => lab.split(&[id, other]),
            5 => lab.cut(id, other),
            6 => lab.cut.clear(),
            7 => lab.machines.get_mut(&id).unwrap().full = true,
            8 => {
                let writes = usize::try_from(lab.random.below(5)).unwrap();
                lab.machines.get_mut(&id).unwrap().dies_after = Some(writes);
            }
            9 => {
                let jump = i64::try_from(lab.random.below(7200)).unwrap() - 3600;
                lab.machines.get_mut(&id).unwrap().clock = jump * SECOND;
            }
            10 => {
                let leader = lab.leader();
                if let Some(leader) = leader {
                    lab.kill(leader);
                }
            }
            _ => lab.heal(),
        }
        // Everybody who believes to lead is asked.
        for id in 1..=count {
            lab.ask(id);
        }
        let milliseconds = 100 + i64::try_from(lab.random.below(25_000)).unwrap();
        lab.pass(milliseconds * MILLISECOND);
    }
    for machine in lab.machines.values_mut() {
        machine.dies_after = None;
    }
    lab.recovers();
    (lab.acknowledged.len(), lab.leaders.len())
}

#[test]
fn no_acknowledged_write_is_lost_in_a_hundred_schedules_of_faults() {
    let (mut writes, mut terms) = (0, 0);
    for seed in 0..100 {
        match std::panic::catch_unwind(|| play(seed)) {
            Ok((acknowledged, led)) => {
                writes += acknowledged;
                terms += led;
            }
            Err(_) => panic!("the schedule of seed {seed} failed"),
        }
    }
    // The schedules are neither harmless nor without hope.
    assert!(writes > 500 && terms > 200, "{writes} writes in {terms} terms");
}

#[test]
fn a_schedule_plays_the_same_way_every_time() {
    let run = || {
        let mut lab = Lab::new(3, 99);
        lab.kill(1);
        lab.pass(40 * SECOND);
        (lab.leader(), lab.sent, lab.leaders.clone())
    };
    assert_eq!(run(), run());
}
