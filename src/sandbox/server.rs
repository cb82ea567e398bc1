//! Serving on loopback, with connections that can be cut without a reply.
//!
//! A handler cannot drop its connection: whatever it returns becomes a reply. So each
//! connection's stream carries a cut that its handlers can reach as [`Connection`]; once cut,
//! reads and writes fail and hyper drops the stream.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A handle on one client connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    cut: CancellationToken,
    reset: Arc<AtomicBool>,
}

impl Connection {
    /// Closes the connection; what has not been written is never sent.
    pub(super) fn close(&self) {
        self.cut.cancel();
    }

    /// Closes the connection with a TCP reset.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        self.cut.cancel();
    }
}

impl Connected<IncomingStream<'_, LoopbackListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, LoopbackListener>) -> Self {
        stream.io().connection.clone()
    }
}

/// Accepts connections, all of which are cut when `stop` is cancelled.
pub(super) struct LoopbackListener {
    inner: TcpListener,
    stop: CancellationToken,
}

impl LoopbackListener {
    pub(super) const fn new(inner: TcpListener, stop: CancellationToken) -> Self {
        Self { inner, stop }
    }
}

impl Listener for LoopbackListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        // The retries of transient errors are axum's.
        let (stream, peer) = Listener::accept(&mut self.inner).await;
        (CuttableStream::new(stream, self.stop.child_token()), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A TCP stream that fails from the moment it is cut.
pub(super) struct CuttableStream {
    stream: TcpStream,
    connection: Connection,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CuttableStream {
    fn new(stream: TcpStream, cut: CancellationToken) -> Self {
        let connection = Connection { cut: cut.clone(), reset: Arc::default() };
        Self { stream, connection, cut: Box::pin(cut.cancelled_owned()) }
    }

    /// Fails once the connection is cut; until then, wakes the task when it is.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        if self.connection.reset.load(Ordering::SeqCst) {
            self.stream.set_zero_linger()?;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
