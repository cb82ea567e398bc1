//! Connections: taken one by one up to a limit, served, and ended in good order.

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
use futures::future::{Either, ready};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Notify, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{
    Api,
    access::{self, Access, Caller, Peer},
    routes,
};
use crate::engine::Engine;

/// The most connections at once; more wait in the socket's queue.
const MAX_CONNECTIONS: usize = 512;
/// How long a request's head may take, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests that are being answered may take to end once the daemon stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long a connection that has asked for nothing yet is kept open once the daemon stops.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// The pause after a connection could not be taken, as when there are no file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves the API until `shutdown`: then whoever waits is answered at once, and what is being
/// answered is finished, for a bounded time. Nobody is taken in after `accepting` is cancelled,
/// which `shutdown` does at the latest.
pub async fn serve(
    engine: Arc<Engine>,
    listener: UnixListener,
    accepting: CancellationToken,
    shutdown: CancellationToken,
) {
    serve_to(engine, listener, (accepting, shutdown), Access::own_user()).await;
}

/// [`serve`] to those whom `access` knows.
pub(super) async fn serve_to(
    engine: Arc<Engine>,
    listener: UnixListener,
    (accepting, shutdown): (CancellationToken, CancellationToken),
    access: Access,
) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let server = Arc::new(Server {
        router: routes::router(Arc::new(Api::new(engine, shutdown.clone()))),
        access,
        stop: shutdown.clone(),
        abort: CancellationToken::new(),
    });
    while let Some(permit) = accepting.run_until_cancelled(Arc::clone(&room).acquire_owned()).await
    {
        let Some(accepted) = accepting.run_until_cancelled(listener.accept()).await else { break };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let server = Arc::clone(&server);
        connections.spawn(async move {
            server.connection(stream).await;
            drop(permit);
        });
    }
    drop(listener);
    shutdown.cancelled().await;
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        server.abort.cancel();
        connections.wait().await;
    }
}

/// What connections share.
struct Server {
    router: Router,
    access: Access,
    stop: CancellationToken,
    /// Cancelled when the time for a good end is over.
    abort: CancellationToken,
}

impl Server {
    async fn connection(&self, stream: UnixStream) {
        // Gone before it was looked at.
        let Ok(peer) = stream.peer_cred() else { return };
        let caller = self.access.caller(&peer).await;
        let told = AtomicBool::new(false);
        let (asked, first) = (AtomicBool::new(false), Notify::new());
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            first.notify_one();
            self.answer(&caller, &told, request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
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

    /// Strangers learn that the daemon is alive, and nothing else.
    fn answer(
        &self,
        caller: &Arc<Caller>,
        told: &AtomicBool,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + use<> {
        if !caller.is_known() && request.uri().path() != "/healthz" {
            // Once for a connection, so that nobody fills the log.
            if !told.swap(true, Ordering::Relaxed) {
                access::tell_refused(caller, "neither the daemon's own user nor root");
            }
            return Either::Left(ready(Ok(access::stranger(caller).into_response())));
        }
        request.extensions_mut().insert(Peer(Arc::clone(caller)));
        // A clone of the router is one more count on what it shares.
        Either::Right(self.router.clone().call(request))
    }
}
