use std::time::Duration;

use futures::future::{Either, select};

use super::{clock_time, system::up_time};
use crate::{
    host::MEMORY,
    process::{Closed, Context, signal},
};

/// `top`: redraws every three seconds until `q`, Ctrl-C or SIGTERM. It needs a terminal.
pub(super) async fn top(context: Context) -> Result<i32, Closed> {
    let Some(tty) = context.streams.output_terminal().cloned() else {
        context.err("top: failed tty get\n").await?;
        return Ok(1);
    };
    context.process.handle(&[signal::INT, signal::TERM, signal::HUP, signal::QUIT, signal::WINCH]);
    context.process.set_cpu(1_000_000);
    let keyboard = context.streams.input_is_terminal();
    if keyboard {
        tty.set_raw(true);
    }
    tty.write_raw(b"\x1b[?1h\x1b=\x1b[?25l\x1b[H\x1b[2J");
    loop {
        draw(&context, &tty).await?;
        let process = context.process.clone();
        let signal = Box::pin(process.next_signal());
        let keys = Box::pin(async {
            if !keyboard {
                return futures::future::pending().await;
            }
            context.streams.stdin.read().await
        });
        let timer = Box::pin(context.space().world.clock.sleep(Duration::from_secs(3)));
        let end = match select(signal, select(keys, timer)).await {
            Either::Left((number, _)) if number == signal::WINCH => false,
            Either::Left(_) => true,
            Either::Right((Either::Left((bytes, _)), _)) => {
                bytes.is_none_or(|bytes| bytes.iter().any(|key| matches!(key, b'q' | 3)))
            }
            Either::Right((Either::Right(_), _)) => false,
        };
        if end {
            if keyboard {
                tty.set_raw(false);
            }
            let (rows, _) = tty.size();
            tty.write_raw(format!("\x1b[?1l\x1b>\x1b[{rows};1H\r\n\x1b[?12l\x1b[?25h\x1b[K").as_bytes());
            return Ok(0);
        }
    }
}

async fn draw(context: &Context, tty: &crate::process::Tty) -> Result<(), Closed> {
    let space = context.space();
    let (rows, columns) = tty.size();
    let processes = space.processes();
    let running = 1;
    let total = processes.len();
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let used = space.memory();
    let mut lines = vec![
        format!(
            "top - {} up {},  0 user,  load average: 0.00, 0.00, 0.00",
            clock_time_seconds(context),
            up_time(&space.world)
        ),
        format!(
            "Tasks: {total:>3} total, {running:>3} running, {:>3} sleeping,   0 stopped,   0 zombie",
            total.saturating_sub(running)
        ),
        "%Cpu(s):  0.1 us,  0.0 sy,  0.0 ni, 99.9 id,  0.0 wa,  0.0 hi,  0.0 si,  0.0 st".to_owned(),
        format!(
            "MiB Mem : {:>8.1} total, {:>8.1} free, {:>8.1} used, {:>8.1} buff/cache",
            mib(MEMORY),
            mib(MEMORY.saturating_sub(used)),
            mib(used),
            0.0
        ),
        format!(
            "MiB Swap: {:>8.1} total, {:>8.1} free, {:>8.1} used. {:>8.1} avail Mem",
            0.0,
            0.0,
            0.0,
            mib(MEMORY.saturating_sub(used))
        ),
        String::new(),
        format!(
            "\x1b[7m{:<width$}\x1b[0m",
            "    PID USER      PR  NI    VIRT    RES    SHR S  %CPU  %MEM     TIME+ COMMAND",
            width = usize::from(columns)
        ),
    ];
    for process in &processes {
        let hundredths = process.cpu_time() / 10_000_000;
        let argv = process.argv();
        let name = argv.first().map_or("", |name| name.rsplit('/').next().unwrap_or(name));
        let state = if process.pid == context.process.pid { 'R' } else { 'S' };
        lines.push(format!(
            "{:>7} {:<8}  20   0 {:>7} {:>6} {:>6} {state} {:>5.1} {:>5.1} {:>3}:{:02}.{:02} {name}",
            process.pid,
            process.user,
            process.memory() / 512,
            process.memory() / 1024,
            process.memory() / 2048,
            process.cpu() as f64 / 10_000_000.0,
            process.memory() as f64 * 100.0 / MEMORY as f64,
            hundredths / 6000,
            hundredths / 100 % 60,
            hundredths % 100
        ));
    }
    lines.truncate(usize::from(rows).saturating_sub(1));
    let screen: String = lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect();
    tty.write_raw(format!("\x1b[H{screen}\x1b[J").as_bytes());
    Ok(())
}

fn clock_time_seconds(context: &Context) -> String {
    let space = context.space();
    let minutes = clock_time(&space.world, space.world.clock.elapsed());
    format!("{minutes}:{:02}", space.world.clock.seconds().rem_euclid(60))
}
