//! A terminal on a node, as the page uses it.

use std::sync::{Arc, Mutex};

use docklab_sim::{NodeShell, World};
use futures::StreamExt;

struct Terminal {
    world: World,
    shell: NodeShell,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn open() -> Self {
        let world = World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7);
        let node = world.add_node("node1");
        let (shell, mut output) = NodeShell::open(&node, 24, 80).unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let seen = screen.clone();
        world.spawn(async move {
            while let Some(bytes) = output.next().await {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
            }
        });
        world.run_until_stalled();
        Self { world, shell, screen }
    }
    fn keys(&self, keys: &str) -> String {
        self.shell.write(keys.as_bytes());
        self.world.run_until_stalled();
        std::mem::take(&mut *self.screen.lock().unwrap()).replace('\r', "")
    }
}

#[test]
fn prompt_echo_and_output() {
    let terminal = Terminal::open();
    assert_eq!(terminal.keys("echo hi\r"), "root@node1:~# echo hi\nhi\nroot@node1:~# ");
    assert_eq!(terminal.keys("cd /tmp\r"), "cd /tmp\nroot@node1:/tmp# ");
}

#[test]
fn ctrl_c_ends_the_foreground_program_and_not_the_shell() {
    let terminal = Terminal::open();
    terminal.keys("sleep 100\r");
    let after = terminal.keys("\x03");
    assert!(after.ends_with("^C\nroot@node1:~# "), "{after:?}");
    assert!(terminal.keys("echo $?\r").contains("\n130\n"));
}

#[test]
fn history_and_line_editing() {
    let terminal = Terminal::open();
    terminal.keys("echo one\r");
    assert!(terminal.keys("\x1b[A\x17two\r").contains("\ntwo\n"));
    assert!(terminal.keys("cho three\x01e\r").contains("\nthree\n"));
}

#[test]
fn completion_of_commands_and_paths() {
    let terminal = Terminal::open();
    assert!(terminal.keys("hostn\t\r").contains("\nnode1\n"));
    assert!(terminal.keys("cat /etc/hostn\t\r").contains("\nnode1\n"));
}

#[test]
fn a_here_document_is_continued_over_lines() {
    let terminal = Terminal::open();
    assert!(terminal.keys("cat <<E\rhello\rE\r").contains("\nhello\nroot@node1"));
}

#[test]
fn top_redraws_every_three_seconds_until_q() {
    let terminal = Terminal::open();
    assert!(terminal.keys("top\r").contains("COMMAND"));
    terminal.world.advance(std::time::Duration::from_secs(7));
    let later = terminal.keys("");
    assert_eq!(later.matches("top - ").count(), 2, "{later}");
    assert!(terminal.keys("q").ends_with("root@node1:~# "));
}

#[test]
fn nano_writes_a_file() {
    let terminal = Terminal::open();
    terminal.keys("nano f\r");
    terminal.keys("line one\rline two");
    terminal.keys("\x0f\x18");
    assert!(terminal.keys("cat f\r").contains("line one\nline two\n"));
}

#[test]
fn ctrl_d_ends_the_shell() {
    let terminal = Terminal::open();
    terminal.keys("\x04");
    assert_eq!(terminal.world.block_on(terminal.shell.exit()), 0);
}
