//! Transcripts of a node's shell, on virtual time.

use docklab_sim::World;

fn world() -> World {
    World::new("2026-03-01T12:00:00Z".parse().unwrap(), 7)
}

/// Output, errors and code of a script on a fresh node.
fn run(script: &str) -> String {
    let world = world();
    let node = world.add_node("node1");
    let (stdout, stderr, code) = world.block_on(node.run_script(script));
    let mut text = stdout;
    for line in stderr.lines() {
        text += &format!("! {line}\n");
    }
    if code != 0 {
        text += &format!("= {code}\n");
    }
    text
}

#[test]
fn words_quotes_and_variables() {
    insta::assert_snapshot!(run(r#"a="x  y"; echo $a; echo "$a" '$a' ${b:-none} ${#a} $((2+3*4)); echo {1..3} a{b,c}"#), @r"
    x y
    x  y $a none 4 14
    1 2 3 ab ac
    ");
}

#[test]
fn pipes_run_side_by_side() {
    insta::assert_snapshot!(run("seq 1 30 | grep 2 | head -3; yes | head -2; echo b a | tr ' ' '\\n' | sort"), @r"
    2
    12
    20
    y
    y
    a
    b
    ");
}

#[test]
fn redirections_and_here_documents() {
    insta::assert_snapshot!(run("n=7\ncat > f <<EOF\none $n\nEOF\ncat <<'EOF' >> f\ntwo $n\nEOF\ncat f; ls nope 2>/dev/null || echo failed $?; wc -l < f"), @r"
    one 7
    two $n
    failed 2
    2
    ");
}

#[test]
fn control_flow_and_functions() {
    insta::assert_snapshot!(run("f() { for i in \"$@\"; do case $i in a*) echo A;; *) echo other; continue;; esac; done; return 3; }\nf ab c; echo $?\ni=0; while [ $i -lt 3 ]; do i=$((i+1)); [ $i = 2 ] && break; done; echo $i\nif test -d /etc && ! false; then echo yes; else echo no; fi"), @r"
    A
    other
    3
    2
    yes
    ");
}

#[test]
fn globs_and_command_substitution() {
    insta::assert_snapshot!(run("mkdir d; cd d; touch a.txt b.txt c.md; echo *.txt *.none; echo \"$(ls | wc -l) files in $(basename $(pwd))\"; echo `echo old`"), @r"
    a.txt b.txt *.none
    3 files in d
    old
    ");
}

#[test]
fn errexit_ends_a_script_but_not_in_a_condition() {
    insta::assert_snapshot!(run("set -e; if false; then :; fi; false || echo kept; false; echo never"), @r"
    kept
    = 1
    ");
}

#[test]
fn unknown_programs_say_what_to_do() {
    insta::assert_snapshot!(run("gcc x.c; nosuchthing"), @r"
    ! bash: line 1: gcc: command not found
    ! The simulator has no `gcc`; connect a backend to run it on a real machine.
    ! bash: line 1: nosuchthing: command not found
    = 127
    ");
}

#[test]
fn scripts_need_the_executable_bit_and_an_interpreter() {
    insta::assert_snapshot!(run("printf '#!/bin/sh\\necho hi $1\\n' > s.sh; ./s.sh you; chmod +x s.sh; ./s.sh you; printf '#!/bin/sh\\r\\necho hi\\n' > w.sh; chmod +x w.sh; ./w.sh"), @r"
    hi you
    ! bash: line 1: ./s.sh: Permission denied
    ! bash: line 1: ./w.sh: No such file or directory
    = 127
    ");
}

#[test]
fn sleeping_takes_virtual_time_only() {
    let world = world();
    let node = world.add_node("node1");
    let (stdout, ..) = world.block_on(node.run_script("date +%T; sleep 3600 & sleep 90m; wait; date +%T"));
    assert_eq!(stdout, "12:00:00\n13:30:00\n");
}

#[test]
fn traps_run_when_a_signal_comes() {
    insta::assert_snapshot!(run("trap 'echo bye' EXIT; (sleep 5; kill -TERM $$) & trap 'echo term; exit 4' TERM; sleep 100 & wait"), @r"
    term
    bye
    = 4
    ");
}

#[test]
fn sed_cut_sort_uniq() {
    insta::assert_snapshot!(run("printf 'b:1\\na:2\\nb:1\\n' | sort | uniq -c; printf 'b:1\\na:2\\n' | cut -d: -f2; echo 'v1.2 v3' | sed 's/v[0-9]/V/g'; grep -c root /etc/passwd"), @r"
          1 a:2
          2 b:1
    1
    2
    V.2 V
    1
    ");
}

#[test]
fn a_flask_application_runs_on_the_node() {
    let script = r#"cat > app.py <<'EOF'
from flask import Flask
app = Flask(__name__)
@app.route("/")
def hello():
    return "hello world!"
if __name__ == "__main__":
    app.run(host="0.0.0.0")
EOF
python3 app.py; echo "= $?"
pip install flask > /dev/null
python3 app.py 2>log & sleep 1
curl -s localhost:5000; echo; curl -s localhost:5000/none | head -3; curl localhost:81; tail -2 log"#;
    insta::assert_snapshot!(run(script), @r#"
    = 1
     * Serving Flask app 'app'
     * Debug mode: off
    hello world!
    <!doctype html>
    <html lang=en>
    <title>404 Not Found</title>
    127.0.0.1 - - [01/Mar/2026 12:00:02] "GET / HTTP/1.1" 200 -
    127.0.0.1 - - [01/Mar/2026 12:00:02] "GET /none HTTP/1.1" 404 -
    ! Traceback (most recent call last):
    !   File "app.py", line 1, in <module>
    !     from flask import Flask
    ! ModuleNotFoundError: No module named 'flask'
    ! curl: (7) Failed to connect to localhost port 81 after 0 ms: Couldn't connect to server
    "#);
}
