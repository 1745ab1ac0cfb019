//! What the swarm looked like after each change, so that a student can look back.

use std::{collections::HashMap, rc::Rc};

use docklab_api::models::{NodeState as MemberState, TaskState};
use jiff::Timestamp;

use super::{SwarmView, TaskView, state_word};
use crate::session::{NodePlace, NodeState};

/// Moments that are kept; the oldest go first. Views share what did not change, so a moment costs a pointer a task.
const KEPT: usize = 600;
/// What one moment tells in words, at most.
const TOLD: usize = 6;

/// The swarm after a change.
#[derive(Debug, PartialEq, Eq)]
pub struct Moment {
    pub at: Timestamp,
    pub view: Rc<SwarmView>,
    pub places: Rc<Vec<NodePlace>>,
    /// What had changed, in words.
    pub news: Vec<String>,
}

/// The last moments, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    moments: Vec<Rc<Moment>>,
    /// How many have been forgotten.
    forgotten: usize,
}

impl Recording {
    /// Adds what is seen now, unless it is what was seen last.
    pub fn add(&mut self, at: Timestamp, view: &Rc<SwarmView>, places: &Rc<Vec<NodePlace>>) {
        let last = self.moments.last();
        if last.is_some_and(|last| last.view == *view && last.places == *places) {
            return;
        }
        let news = match last {
            None => vec!["The recording begins".to_owned()],
            Some(last) => news(last, view, places),
        };
        // Only positions in the log have moved on, perhaps: the picture is brought up to date, without a moment of its own.
        if let (true, Some(last)) = (news.is_empty(), self.moments.last_mut()) {
            *last =
                Rc::new(Moment { at: last.at, view: view.clone(), places: places.clone(), news: last.news.clone() });
            return;
        }
        if self.moments.len() == KEPT {
            self.moments.remove(0);
            self.forgotten += 1;
        }
        self.moments.push(Rc::new(Moment { at, view: view.clone(), places: places.clone(), news }));
    }

    pub fn len(&self) -> usize {
        self.moments.len()
    }
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }
    pub fn get(&self, index: usize) -> Option<&Rc<Moment>> {
        self.moments.get(index)
    }
    /// The moments, newest first.
    pub fn backwards(&self) -> impl Iterator<Item = (usize, &Rc<Moment>)> {
        self.moments.iter().enumerate().rev()
    }
    /// A number that stays the same for a moment while older ones are forgotten.
    pub fn number(&self, index: usize) -> usize {
        self.forgotten + index
    }
    /// The place of a numbered moment; one that is forgotten is the oldest there is.
    pub fn index(&self, number: usize) -> usize {
        number.saturating_sub(self.forgotten).min(self.moments.len().saturating_sub(1))
    }
}

/// What changed between a moment and what is seen now, the most important first.
fn news(before: &Moment, view: &SwarmView, places: &[NodePlace]) -> Vec<String> {
    let mut news = Vec::new();
    for place in places {
        match before.places.iter().find(|known| known.name == place.name) {
            None => news.push(format!("{} was added", place.name)),
            Some(known) if known.state != place.state => news.push(match place.state {
                NodeState::Running => format!("{} is healed", place.name),
                state => format!("{} is {}", place.name, state.word()),
            }),
            Some(_) => {}
        }
    }
    members(&before.view, view, &mut news);
    services(&before.view, view, &mut news);
    tasks(&before.view, view, &mut news);
    if news.len() > TOLD {
        let more = news.len() - TOLD + 1;
        news.truncate(TOLD - 1);
        news.push(format!("and {more} more changes"));
    }
    news
}

fn members(before: &SwarmView, view: &SwarmView, news: &mut Vec<String>) {
    for node in &view.nodes {
        let Some(known) = before.node(&node.id) else {
            news.push(format!("{} joined as {}", node.name, if node.is_manager { "manager" } else { "worker" }));
            continue;
        };
        if known.state != node.state {
            let why = if node.state == MemberState::DOWN && !node.message.is_empty() {
                format!(": {}", node.message)
            } else {
                String::new()
            };
            news.push(format!("{} is {}{why}", node.name, node.state_text().to_lowercase()));
        }
        if known.availability != node.availability {
            news.push(format!("{}: availability {}", node.name, node.availability_text().to_lowercase()));
        }
        if !known.is_leader && node.is_leader {
            news.push(format!("{} leads", node.name));
        }
        if known.is_manager != node.is_manager {
            news.push(format!("{} is a {} now", node.name, if node.is_manager { "manager" } else { "worker" }));
        } else if known.votes() != node.votes() {
            let word = if node.votes() { "reachable" } else { "unreachable" };
            news.push(format!("manager {} is {word}", node.name));
        }
    }
    for known in before.nodes.iter().filter(|known| view.node(&known.id).is_none()) {
        news.push(format!("{} was removed", known.name));
    }
}

fn services(before: &SwarmView, view: &SwarmView, news: &mut Vec<String>) {
    for service in &view.services {
        let Some(known) = before.service(&service.id) else {
            news.push(format!("service {} was created, {} wanted", service.name, service.desired));
            continue;
        };
        if known.desired != service.desired {
            news.push(format!("{}: {} wanted instead of {}", service.name, service.desired, known.desired));
        }
        if known.image != service.image {
            news.push(format!("{}: image {} instead of {}", service.name, service.image, known.image));
        }
        if known.update.as_ref().map(|update| update.state) != service.update.as_ref().map(|update| update.state)
            && let Some(update) = &service.update
        {
            news.push(format!("{}: {}", service.name, update.text().to_lowercase()));
        }
        if known.ports != service.ports {
            news.push(format!("{}: other ports", service.name));
        }
    }
    for known in before.services.iter().filter(|known| view.service(&known.id).is_none()) {
        news.push(format!("service {} was removed", known.name));
    }
}

fn tasks(before: &SwarmView, view: &SwarmView, news: &mut Vec<String>) {
    let known: HashMap<&str, &Rc<TaskView>> = before.tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    // By what happened, so that twenty tasks that start are one piece of news.
    let mut happened: Vec<(String, Vec<&TaskView>)> = Vec::new();
    for task in &view.tasks {
        let former = known.get(task.id.as_str());
        if former.is_some_and(|former| Rc::ptr_eq(former, task)) {
            continue;
        }
        let what = match former {
            Some(former) if former.state == task.state && former.desired == task.desired => continue,
            Some(former) if former.state == task.state => {
                if !task.is_stopping() {
                    continue;
                }
                "is to stop".to_owned()
            }
            _ => task_state(task),
        };
        match happened.iter_mut().find(|(known, _)| *known == what) {
            Some((_, tasks)) => tasks.push(task),
            None => happened.push((what, vec![task])),
        }
    }
    // Failures first: they are what one looks back for.
    happened.sort_by_key(|(_, tasks)| !tasks.iter().any(|task| task.has_failed()));
    for (what, tasks) in happened {
        let names: Vec<String> = tasks.iter().take(3).map(|task| named(task, view)).collect();
        let more = tasks.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        news.push(format!("{}{more}: {what}", names.join(", ")));
    }
}

fn named(task: &TaskView, view: &SwarmView) -> String {
    match view.node(&task.node).filter(|_| task.slot > 0) {
        Some(node) => format!("{} on {}", task.name, node.name),
        None => task.name.clone(),
    }
}

fn task_state(task: &TaskView) -> String {
    let word = state_word(task.state);
    let waits = task.state == TaskState::PENDING && !task.error.is_empty();
    if (task.has_failed() || waits) && !task.error.is_empty() {
        format!("{word}, {}", task.error)
    } else {
        word.to_owned()
    }
}
