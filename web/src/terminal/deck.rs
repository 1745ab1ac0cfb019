use std::{cell::RefCell, collections::HashMap, rc::Rc};

use docklab_scenario::{Commands, Mode};
use futures::channel::mpsc::UnboundedSender;
use yew::Reducible;

use super::capture::Captures;
use crate::{browser, session::TerminalInput};

/// One terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    pub id: u32,
    pub node: String,
    /// A command of the lab keeps its foreground (`docker run -t ubuntu top`): the next one goes to another terminal.
    pub held: bool,
}

/// The terminals of a session.
#[derive(Clone, PartialEq)]
pub struct Deck {
    pub tabs: Vec<Tab>,
    pub active: u32,
    pub keyboard: Keyboard,
    next: u32,
}

pub enum DeckAction {
    Open(String),
    Select(u32),
    /// To the neighbour on the left (-1) or right (1).
    Step(isize),
    Close(u32),
    /// Types a block of commands, on this node, into a terminal that is free.
    Run(String, Commands),
}

/// The ways into the terminals. What is typed before a terminal is open waits for it.
#[derive(Clone, Default)]
pub struct Keyboard {
    ways: Rc<RefCell<HashMap<u32, Way>>>,
    captures: Rc<RefCell<Captures>>,
}

enum Way {
    Open(UnboundedSender<TerminalInput>),
    Waiting(Vec<TerminalInput>),
}

impl PartialEq for Keyboard {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.ways, &other.ways)
    }
}

impl Keyboard {
    /// Connects a terminal, and delivers what was typed for it before.
    pub fn connect(&self, id: u32, sender: UnboundedSender<TerminalInput>) {
        let former = self.ways.borrow_mut().insert(id, Way::Open(sender.clone()));
        if let Some(Way::Waiting(inputs)) = former {
            for input in inputs {
                // A shell that has gone already reads nothing.
                let _ = sender.unbounded_send(input);
            }
        }
    }
    pub fn disconnect(&self, id: u32) {
        self.ways.borrow_mut().remove(&id);
    }
    /// Sends input; false when the terminal has lost its shell.
    pub fn send(&self, id: u32, input: TerminalInput) -> bool {
        match self.ways.borrow_mut().entry(id).or_insert_with(|| Way::Waiting(Vec::new())) {
            Way::Open(sender) => sender.unbounded_send(input).is_ok(),
            Way::Waiting(inputs) => {
                inputs.push(input);
                true
            }
        }
    }
    /// Sends what somebody types.
    pub fn type_by_hand(&self, id: u32, text: String) {
        self.captures.borrow_mut().interrupted(id);
        self.send(id, TerminalInput::Bytes(text.into_bytes().into()));
    }
    /// A terminal has printed this.
    pub fn printed(&self, id: u32, bytes: &[u8]) {
        self.captures.borrow_mut().printed(id, bytes);
    }
    fn type_text(&self, id: u32, text: &str) {
        self.send(id, TerminalInput::Bytes(text.replace('\n', "\r").into_bytes().into()));
    }
}

const CTRL_C: &str = "\u{3}";
/// Long enough to see the output that the interruption ends.
const BEFORE_INTERRUPT_MILLISECONDS: i32 = 2500;

impl Deck {
    /// One terminal on the first node.
    pub fn new(node: impl Into<String>) -> Self {
        let first = Tab { id: 1, node: node.into(), held: false };
        Self { tabs: vec![first], active: 1, keyboard: Keyboard::default(), next: 2 }
    }
    /// `node1`, and with a number when the node has several.
    pub fn title(&self, tab: &Tab) -> String {
        let same: Vec<u32> = self.tabs.iter().filter(|other| other.node == tab.node).map(|other| other.id).collect();
        match same.iter().position(|id| *id == tab.id) {
            Some(index) if index > 0 => format!("{} ({})", tab.node, index + 1),
            _ => tab.node.clone(),
        }
    }
    fn open(&mut self, node: String) -> u32 {
        let id = self.next;
        self.next += 1;
        self.tabs.push(Tab { id, node, held: false });
        self.active = id;
        id
    }
    fn free_tab(&mut self, node: &str) -> u32 {
        let fits = |tab: &&Tab| tab.node == node && !tab.held;
        let active = self.tabs.iter().find(|tab| tab.id == self.active).filter(fits);
        match active.or_else(|| self.tabs.iter().find(fits)) {
            Some(tab) => {
                self.active = tab.id;
                tab.id
            }
            None => self.open(node.to_owned()),
        }
    }
    fn run(&mut self, node: &str, commands: &Commands) {
        let id = self.free_tab(node);
        let filled = self.keyboard.captures.borrow().fill(commands);
        self.keyboard.type_text(id, &format!("{}\n", filled.text.trim_end()));
        self.keyboard.captures.borrow_mut().typed(id, &filled);
        if commands.mode == Mode::Keep
            && let Some(tab) = self.tabs.iter_mut().find(|tab| tab.id == id)
        {
            tab.held = true;
        }
        if commands.mode == Mode::Interrupt {
            let keyboard = self.keyboard.clone();
            browser::spawn(async move {
                browser::sleep(BEFORE_INTERRUPT_MILLISECONDS).await;
                keyboard.type_text(id, CTRL_C);
            });
        }
    }
    fn close(&mut self, id: u32) {
        let Some(index) = self.tabs.iter().position(|tab| tab.id == id) else { return };
        if self.tabs.len() == 1 {
            return;
        }
        self.tabs.remove(index);
        if self.active == id {
            self.active = self.tabs[index.min(self.tabs.len() - 1)].id;
        }
    }
    fn step(&mut self, by: isize) {
        let index = self.tabs.iter().position(|tab| tab.id == self.active).unwrap_or_default();
        let index = index.checked_add_signed(by).unwrap_or(self.tabs.len() - 1) % self.tabs.len();
        self.active = self.tabs[index].id;
    }
}

impl Reducible for Deck {
    type Action = DeckAction;

    fn reduce(self: Rc<Self>, action: DeckAction) -> Rc<Self> {
        let mut deck = (*self).clone();
        match action {
            DeckAction::Open(node) => {
                deck.open(node);
            }
            DeckAction::Select(id) => deck.active = id,
            DeckAction::Step(by) => deck.step(by),
            DeckAction::Close(id) => deck.close(id),
            DeckAction::Run(node, commands) => deck.run(&node, &commands),
        }
        deck.into()
    }
}

#[cfg(test)]
mod tests {
    use docklab_scenario::Span;
    use futures::channel::mpsc::unbounded;

    use super::*;

    fn commands(mode: Mode) -> Commands {
        Commands { node: None, mode, text: "docker run -t ubuntu top".into(), capture: None, span: Span::default() }
    }

    #[test]
    fn a_held_terminal_is_left_alone() {
        let mut deck = Deck::new("node1");
        deck.run("node1", &commands(Mode::Keep));
        assert_eq!((deck.tabs.len(), deck.active), (1, 1));
        deck.run("node1", &commands(Mode::Wait));
        assert_eq!((deck.tabs.len(), deck.active), (2, 2));
        assert_eq!(deck.title(&deck.tabs[1]), "node1 (2)");
    }

    #[test]
    fn what_is_typed_before_a_terminal_opens_arrives() {
        let mut deck = Deck::new("node1");
        deck.run("node1", &commands(Mode::Wait));
        let (sender, mut receiver) = unbounded();
        deck.keyboard.connect(1, sender);
        let typed = TerminalInput::Bytes("docker run -t ubuntu top\r".into());
        assert_eq!(receiver.try_recv().ok(), Some(typed));
    }

    #[test]
    fn the_last_terminal_stays() {
        let mut deck = Deck::new("node1");
        deck.close(1);
        assert_eq!(deck.tabs.len(), 1);
        deck.open("node2".into());
        deck.close(2);
        assert_eq!(deck.active, 1);
    }
}
