//! Runs a program to its end or its time limit, with what it says kept within bounds.

use std::{
    collections::VecDeque,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How much of each end of the output is kept.
const KEPT: usize = 64 * 1024;
/// How long the rest of the output is waited for once the program has ended: a process that it left
/// behind may hold the pipe open for ever.
const REST: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) enum End {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
    NotStarted(io::Error),
}

/// Without `Debug`, as its output: there may be secrets in it.
pub(super) struct Ran {
    pub end: End,
    pub output: Output,
}

/// Standard output and standard error, as they came, without the middle where there is too much.
#[derive(Default)]
pub(super) struct Output {
    pub head: Vec<u8>,
    pub tail: VecDeque<u8>,
    /// Bytes left out between the two.
    pub dropped: usize,
}

impl Output {
    pub fn push(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(room);
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
        self.dropped += over;
    }
}

/// A process group that is killed when this is dropped, unless it was let go.
struct Group(Option<Pid>);

impl Group {
    /// Kills the program and all that it started. Called before the program is waited for, so that
    /// the number is still its own.
    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    /// The program ended by itself: what it left running is meant to run.
    fn let_go(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program in a group of its own, with this environment and nothing else of the daemon's:
/// no input, `/` as its folder. `started` is called once it runs.
pub(super) async fn run(
    command: &[String],
    env: &[(&str, String)],
    limit: Duration,
    stop: &CancellationToken,
    started: impl FnOnce(),
) -> Ran {
    let mut output = Output::default();
    let end = match start(command, env) {
        Ok((mut child, mut pipe)) => {
            let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
            started();
            follow(&mut child, &mut pipe, Group(id), limit, stop, &mut output).await
        }
        Err(error) => End::NotStarted(error),
    };
    Ran { end, output }
}

fn start(command: &[String], env: &[(&str, String)]) -> io::Result<(Child, Receiver)> {
    let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // One pipe for both, so that lines keep their order.
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    Ok((child, Receiver::from_owned_fd(reader.into())?))
}

async fn follow(
    child: &mut Child,
    pipe: &mut Receiver,
    mut group: Group,
    limit: Duration,
    stop: &CancellationToken,
    output: &mut Output,
) -> End {
    let deadline = Instant::now() + limit;
    let mut buffer = vec![0; 16 * 1024];
    let mut open = true;
    let end = loop {
        tokio::select! {
            status = child.wait() => {
                group.let_go();
                break status.map_or_else(End::NotStarted, End::Exited);
            }
            read = pipe.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => open = false,
                Ok(read) => output.push(&buffer[..read]),
            },
            () = sleep_until(deadline) => break End::TimedOut,
            () = stop.cancelled() => break End::Stopped,
        }
    };
    if !matches!(end, End::Exited(_)) {
        group.kill();
        let _ = child.wait().await;
    }
    let until = Instant::now() + REST;
    while open && let Ok(Ok(read @ 1..)) = timeout_at(until, pipe.read(&mut buffer)).await {
        output.push(&buffer[..read]);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Ran {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let env = [("ATTENDANT_ACCOUNT", "gate".to_owned())];
        run(&command, &env, limit, &CancellationToken::new(), || {}).await
    }

    fn text(output: &Output) -> String {
        let all = [output.head.clone(), output.tail.iter().copied().collect()].concat();
        String::from_utf8(all).unwrap()
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn both_outputs_are_kept_in_order_and_nothing_is_inherited() {
        let ran = shell("echo one; echo two >&2; echo three; pwd; cat; env", LONG).await;
        assert!(matches!(ran.end, End::Exited(status) if status.success()));
        let text = text(&ran.output);
        assert!(text.starts_with("one\ntwo\nthree\n/\n"), "{text}");
        let mut names: Vec<&str> =
            text.lines().skip(4).filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.retain(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name));
        assert_eq!(names, ["ATTENDANT_ACCOUNT"]);
    }

    #[tokio::test]
    async fn too_much_output_neither_blocks_nor_grows() {
        let ran = shell("yes 0123456789 | head -c 3000000; echo; echo end", LONG).await;
        assert!(matches!(ran.end, End::Exited(status) if status.success()));
        assert_eq!((ran.output.head.len(), ran.output.tail.len()), (KEPT, KEPT));
        assert!(text(&ran.output).ends_with("end\n"));
        assert_eq!(ran.output.dropped, 3_000_000 + 5 - 2 * KEPT);
    }

    #[tokio::test]
    async fn at_the_time_limit_children_are_killed_too() {
        let script = "echo $$; sleep 300 & echo $!; wait";
        let ran = shell(script, Duration::from_millis(300)).await;
        assert!(matches!(ran.end, End::TimedOut));
        let pids: Vec<i32> = text(&ran.output).lines().map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(pids.len(), 2);
        for pid in pids {
            let gone = async {
                while alive(pid) {
                    tokio::task::yield_now().await;
                }
            };
            assert!(tokio::time::timeout(LONG, gone).await.is_ok(), "{pid} lives");
        }
    }

    /// Neither gone nor a zombie that nobody has waited for yet.
    fn alive(pid: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_not_waited_for() {
        let ran = shell("sleep 300 & echo $!", LONG).await;
        assert!(matches!(ran.end, End::Exited(status) if status.success()));
        let pid: i32 = text(&ran.output).trim().parse().unwrap();
        assert!(alive(pid));
        nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn a_stop_ends_it() {
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let command = ["/bin/sleep", "300"].map(str::to_owned);
        let ran = run(&command, &[], LONG, &stop, move || stopping.cancel()).await;
        assert!(matches!(ran.end, End::Stopped));
    }

    #[tokio::test]
    async fn what_is_not_there_cannot_be_started() {
        let command = ["/no/such/program".to_owned()];
        let ran = run(&command, &[], LONG, &CancellationToken::new(), || {}).await;
        assert!(matches!(ran.end, End::NotStarted(_)));
    }
}
