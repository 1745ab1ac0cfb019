use docklab_scenario::{Block, Commands, Mode, Quiz, Step, parse};

use crate::{Browser, workspace};

/// Someone who does a lab in the page: types its commands into the terminal, saves its files, answers its questions, and
/// waits for every tick.
pub struct Student<'a> {
    browser: &'a Browser,
    /// A command keeps the foreground of the terminal that is shown.
    is_terminal_held: bool,
}

/// The node of blocks that name none.
const FIRST_NODE: &str = "node1";

impl<'a> Student<'a> {
    pub fn new(browser: &'a Browser) -> Self {
        Self { browser, is_terminal_held: false }
    }

    /// Opens a lab from the list on the page that the browser shows, by its file's name.
    pub fn open_lab(&self, file: &str) {
        let title = lab(file).meta.title;
        self.browser.wait_for("document.querySelector('.lab-card')");
        let card =
            format!("[...document.querySelectorAll('.lab-card')].find(card => card.innerText.includes({title:?}))");
        self.browser.wait_for(&card);
        self.browser.evaluate(&format!("{card}.click()"));
    }

    /// Opens a lab by its address on a page that stands at `address`.
    pub fn open_lab_at(&self, address: &str, file: &str) {
        self.browser.open(&format!("{address}#/lab/{}", file.trim_end_matches(".md")));
    }

    /// The switch between the page's simulator and the server's engine.
    pub fn use_simulator(&self) {
        let switch = "[...document.querySelectorAll('.place-switch button')].find(button => button.innerText.includes('This browser'))";
        self.browser.wait_for(switch);
        self.browser.evaluate(&format!("{switch}.click()"));
        self.browser.wait_for(&format!("{switch}.getAttribute('aria-pressed') === 'true'"));
    }

    pub fn wait_for_backend(&self) {
        self.browser.wait_for("document.querySelector('[data-connection=connected]')");
    }

    /// Does the whole lab that is open. `after_step` is told the number of each step that has its tick.
    pub fn do_lab(&mut self, file: &str, after_step: impl FnMut(usize)) {
        self.do_steps(file, usize::MAX, after_step);
        self.browser.wait_for("document.querySelector('.finished')");
    }

    /// Does the first `count` steps of the lab that is open.
    pub fn do_steps(&mut self, file: &str, count: usize, mut after_step: impl FnMut(usize)) {
        self.wait_for_prompt();
        for (index, step) in lab(file).steps.iter().enumerate().take(count) {
            for block in step.all_blocks() {
                match block {
                    Block::Run(commands) => self.type_commands(commands),
                    Block::File { path, .. } => self.save(step, path),
                    Block::Quiz(quiz) => self.answer(step, quiz),
                    _ => {}
                }
            }
            let section = format!("document.getElementById({:?})", step.slug);
            if !step.is_verifiable() {
                self.browser.evaluate(&format!(
                    "[...{section}.querySelectorAll('button')].find(button => button.innerText === 'Mark as read').click()"
                ));
            }
            self.browser.wait_for(&format!("{section}.dataset.state === 'done'"));
            after_step(index + 1);
        }
    }

    fn type_commands(&mut self, commands: &Commands) {
        let node = commands.node.as_deref().unwrap_or(FIRST_NODE);
        if self.is_terminal_held {
            self.browser
                .evaluate(&format!("document.querySelector('[aria-label=\"New terminal on {node}\"]').click()"));
            self.is_terminal_held = false;
            self.wait_for_prompt();
        }
        self.browser.evaluate(&format!("{VISIBLE}.querySelector('textarea').focus()"));
        let mut lines = commands.text.lines().filter(|line| !line.trim().is_empty()).peekable();
        while let Some(line) = lines.next() {
            self.browser.type_keys(line);
            let typed: String = line.chars().filter(|letter| !letter.is_whitespace()).collect();
            let ends_with_it = format!("{TEXT}.replace(/\\s/g, '').endsWith({typed:?})");
            self.browser.wait_for(&ends_with_it);
            self.browser.type_keys("\n");
            if commands.mode == Mode::Keep && lines.peek().is_none() {
                self.browser.wait_for(&format!("!({ends_with_it})"));
                self.is_terminal_held = true;
            } else if commands.mode == Mode::Interactive && lines.peek().is_some() {
                self.wait_for_question();
            } else {
                self.wait_for_prompt();
            }
        }
    }

    /// A program waits for a line: the last one that is shown ends as a prompt or a question does.
    fn wait_for_question(&self) {
        self.browser.wait_for(&format!("/[$#>:?]$/.test({TEXT}.trimEnd())"));
    }

    /// The last line that is shown ends as a shell's prompt does.
    fn wait_for_prompt(&self) {
        self.browser.wait_for(&format!("{VISIBLE}?.querySelector('.xterm-rows') && /[$#>]$/.test({TEXT}.trimEnd())"));
    }

    fn save(&self, step: &Step, path: &str) {
        let figure = format!(
            "[...document.getElementById({:?}).querySelectorAll('figure.file')].find(file => file.querySelector('code').innerText === {path:?})",
            step.slug
        );
        self.browser.evaluate(&format!("{figure}.querySelector('button').click()"));
        self.browser.wait_for(&format!("{figure}.querySelector('.outcome').innerText === 'Saved'"));
    }

    fn answer(&self, step: &Step, quiz: &Quiz) {
        let right = quiz.choices.iter().position(|choice| choice.right).expect("a right choice");
        let box_of = format!(
            "[...document.getElementById({:?}).querySelectorAll('.quiz')].find(quiz => quiz.querySelectorAll('.choice').length === {} && quiz.innerText.includes({:?}))",
            step.slug,
            quiz.choices.len(),
            quiz.choices[right].text.replace('`', "")
        );
        self.browser.evaluate(&format!("{box_of}.querySelectorAll('.choice')[{right}].click()"));
        self.browser.wait_for(&format!("{box_of}.querySelector('[data-verdict=right]')"));
    }
}

/// The terminal that is shown.
const VISIBLE: &str = "document.querySelector('.terminal-screen[data-visible=true]')";
/// What it shows.
const TEXT: &str =
    "document.querySelector('.terminal-screen[data-visible=true] .xterm-rows').innerText.replace(/\\u00a0/g, ' ')";

fn lab(file: &str) -> docklab_scenario::Scenario {
    let text = std::fs::read_to_string(workspace().join("labs").join(file)).expect("reading the lab");
    parse(file, &text).scenario
}
