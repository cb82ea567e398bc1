//! Connections: taken one by one up to a limit, served, and ended in good order.
//!
//! Whoever can connect could take all the room there is, so that each sort of client has its own:
//! the daemon's own user and root have theirs for themselves; whom the configuration allows, TCP,
//! and strangers have less. A connection beyond its room gets one answer at most.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream, unix::UCred},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{
    Api,
    access::{Access, Peer},
    problem::{Kind, Problem},
    routes,
};
use crate::engine::Engine;

/// The most connections at once on the socket; more wait in its queue.
const MAX_CONNECTIONS: usize = 512;
/// Of these, so many of users who are neither the daemon's own nor root.
const MAX_GUESTS: usize = 384;
/// Beside these: strangers, and guests for whom there is no room, while they are told so.
const MAX_TURNED_AWAY: usize = 16;
/// The most connections at once on TCP.
const MAX_TCP: usize = 128;
/// How long a request's head may take, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long a connection that has asked for nothing yet is kept open once the daemon stops.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// How often it is looked whether a reload brought other rules; requests look too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The pause after a connection could not be taken, as when there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where clients connect.
#[derive(Debug)]
pub struct Listeners {
    pub socket: UnixListener,
    pub tcp: Option<TcpListener>,
}

/// Serves the API until `shutdown`: then whoever waits is answered at once, and what is being
/// answered is finished, for a bounded time. Nobody is taken in after `accepting` is cancelled,
/// which `shutdown` does at the latest.
pub async fn serve(
    engine: Arc<Engine>,
    listeners: Listeners,
    access: Arc<Access>,
    accepting: CancellationToken,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server {
        router: routes::router(Arc::new(Api::new(Arc::clone(&engine), shutdown.clone()))),
        engine,
        access,
        guests: Arc::new(Semaphore::new(MAX_GUESTS)),
        turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
        connections: TaskTracker::new(),
        accepting,
        stop: shutdown,
        abort: CancellationToken::new(),
    });
    let Listeners { socket, tcp } = listeners;
    let on_tcp = async {
        if let Some(listener) = tcp {
            server.take_from_tcp(listener).await;
        }
    };
    futures::future::join3(server.take_from_socket(socket), on_tcp, server.follow()).await;
    server.stop.cancelled().await;
    server.connections.close();
    if tokio::time::timeout(GRACE, server.connections.wait()).await.is_err() {
        server.abort.cancel();
        server.connections.wait().await;
    }
}

/// What connections share.
struct Server {
    router: Router,
    engine: Arc<Engine>,
    access: Arc<Access>,
    guests: Arc<Semaphore>,
    turned_away: Arc<Semaphore>,
    connections: TaskTracker,
    /// Cancelled when nobody is taken in any more.
    accepting: CancellationToken,
    stop: CancellationToken,
    /// Cancelled when the time for a good end is over.
    abort: CancellationToken,
}

/// Who is at the other end.
#[derive(Debug, Clone)]
enum Who {
    Peer(UCred),
    /// By the address, without its port.
    Tcp(Arc<str>),
    /// Somebody for whom there is no room.
    Late,
}

impl Server {
    async fn take_from_socket(self: &Arc<Self>, listener: UnixListener) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        while let Some(permit) = self.room(&room).await {
            let Some(accepted) = self.accepting.run_until_cancelled(listener.accept()).await else {
                break;
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let server = Arc::clone(self);
            self.connections.spawn(async move { server.local(stream, permit).await });
        }
    }

    async fn take_from_tcp(self: &Arc<Self>, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MAX_TCP));
        while let Some(permit) = self.room(&room).await {
            let Some(accepted) = self.accepting.run_until_cancelled(listener.accept()).await else {
                break;
            };
            let Ok((stream, from)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Answers are written whole.
            let _ = stream.set_nodelay(true);
            let (server, from) = (Arc::clone(self), Arc::from(from.ip().to_string()));
            self.connections.spawn(async move {
                server.connection(stream, Who::Tcp(from), true).await;
                drop(permit);
            });
        }
    }

    /// Takes on the rules that a reload brought.
    async fn follow(&self) {
        loop {
            self.take_on();
            let slept = self.accepting.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await;
            if slept.is_none() {
                return;
            }
        }
    }

    fn take_on(&self) {
        if let Some(config) = self.engine.config() {
            self.access.follow(&config);
        }
    }

    /// A place among the connections; `None` once the daemon stops.
    async fn room(&self, room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        self.accepting.run_until_cancelled(Arc::clone(room).acquire_owned()).await?.ok()
    }

    async fn local(&self, stream: UnixStream, room: OwnedSemaphorePermit) {
        // Gone before it was looked at.
        let Ok(peer) = stream.peer_cred() else { return };
        if self.access.owns(peer.uid()) {
            self.connection(stream, Who::Peer(peer), true).await;
            drop(room);
            return;
        }
        let guest = Arc::clone(&self.guests).try_acquire_owned();
        let known = self.access.peer(&peer).await.is_known();
        match guest {
            Ok(guest) if known => {
                self.connection(stream, Who::Peer(peer), true).await;
                drop((guest, room));
            }
            guest => {
                drop((guest, room));
                let Ok(_place) = self.turned_away.try_acquire() else { return };
                let who = if known { Who::Late } else { Who::Peer(peer) };
                let once = self.connection(stream, who, false);
                let _ = tokio::time::timeout(HEADER_TIMEOUT, once).await;
            }
        }
    }

    async fn connection<S>(&self, stream: S, who: Who, keep_alive: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (asked, first) = (AtomicBool::new(false), Notify::new());
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            first.notify_one();
            self.answer(who.clone(), request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .keep_alive(keep_alive)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // An error is the client's: it went away, or does not speak HTTP.
        tokio::select! {
            _ = &mut connection => return,
            () = self.stop.cancelled() => {}
        }
        if !asked.load(Ordering::Relaxed) {
            // Whoever has just come has a request on its way: a good end would hang up on it.
            tokio::select! {
                _ = &mut connection => return,
                () = first.notified() => {}
                () = tokio::time::sleep(FIRST_REQUEST) => {}
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = self.abort.run_until_cancelled(connection).await;
    }

    async fn answer(
        &self,
        who: Who,
        mut request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        // Whoever can connect may know that the daemon is alive.
        let open = request.uri().path() == "/healthz";
        if !open {
            match self.caller(&who, request.headers()).await {
                Ok(peer) => request.extensions_mut().insert(peer),
                Err(problem) => return Ok(problem.into_response()),
            };
        }
        // A clone of the router is one more count on what it shares.
        self.router.clone().call(request).await
    }

    async fn caller(&self, who: &Who, headers: &HeaderMap) -> Result<Peer, Problem> {
        self.take_on();
        match who {
            Who::Peer(peer) => {
                let caller = self.access.peer(peer).await;
                if caller.is_known() {
                    Ok(Peer(caller))
                } else {
                    Err(self.access.stranger(&caller))
                }
            }
            Who::Tcp(from) if is_browser(headers) => Err(self.access.browser(from)),
            Who::Tcp(from) => self.access.bearer(headers, from).map(Peer),
            Who::Late => {
                let words = format!("other users have {MAX_GUESTS} connections already");
                Err(Problem::new(Kind::TooMany, words).retry_after(ACCEPT_PAUSE))
            }
        }
    }
}

/// Whether a web page sends this: no other client has reason to say where it comes from. A page
/// knows no token, but this is not left to that alone.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}
