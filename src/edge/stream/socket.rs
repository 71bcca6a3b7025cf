//! The socket of a client, with buffers that exist only while they hold something.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a read asks for: a request with a small body, or most of a TLS record.
const READ_BUFFER: usize = 16 * 1024;
/// What it asks for after a read that was filled, as in the middle of an upload: several TLS records a system call.
const FULL_READ_BUFFER: usize = 64 * 1024;
/// Joins a head and a small body in one packet; anything larger is written as it comes.
const WRITE_BUFFER: usize = 4 * 1024;

/// A TCP or Unix socket with buffers that exist only while they hold something.
#[derive(Debug)]
pub(in crate::edge) struct Socket {
    io: RawSocket,
    ahead: usize,
    read: BytesMut,
    write: BytesMut,
}

/// A socket as the kernel has it.
#[derive(Debug)]
pub(in crate::edge) enum RawSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(in crate::edge) fn new(io: RawSocket) -> Self {
        Self { io, ahead: READ_BUFFER, read: BytesMut::new(), write: BytesMut::new() }
    }

    /// The bytes that have come and have not been read.
    pub(in crate::edge) fn buffered(&self) -> &[u8] {
        &self.read
    }

    /// Waits for more bytes and adds them to those buffered. 0 is the end of the stream.
    pub(in crate::edge) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// Drops the first `count` bytes of those buffered.
    pub(in crate::edge) fn consume(&mut self, count: usize) {
        self.read.advance(count.min(self.read.len()));
        if self.read.is_empty() && self.ahead == READ_BUFFER {
            self.read = BytesMut::new();
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Without a buffer, until there is something to be put into it.
        if let Poll::Ready(ready) = self.io.poll_read_ready(cx) {
            ready?;
            self.read.reserve(self.ahead);
            // Unlike `try_read`, this notes that a read that did not fill the buffer has emptied the socket: whoever asks
            // again waits without another system call.
            if let Poll::Ready(count) = self.io.poll_read_buf(cx, &mut self.read) {
                let count = count?;
                self.ahead = if count < READ_BUFFER { READ_BUFFER } else { FULL_READ_BUFFER };
                return Poll::Ready(Ok(count));
            }
        }
        self.release();
        Poll::Pending
    }

    /// Nothing is there to be read, and perhaps for long.
    fn release(&mut self) {
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.write.is_empty() {
            let count = ready!(self.io.poll_write(cx, &[IoSlice::new(&self.write)]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.write.advance(count);
        }
        self.write = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Socket {
    /// Whoever drops a stream without a flush gets what Pingora's own stream gives: one more try.
    fn drop(&mut self) {
        if !self.write.is_empty()
            && let Err(error) = self.io.try_write(&self.write)
        {
            log::debug!("{} bytes were not sent to a client: {error}", self.write.len());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Whoever waits for a client to go on has said what there was to say: Pingora leaves the beginning of a long answer
        // unflushed until its end. An error in writing is met again by whoever writes next.
        if !self.write.is_empty() {
            let _ = self.poll_drain(cx);
        }
        if self.read.is_empty() {
            if buf.remaining() >= READ_BUFFER {
                return self.io.poll_read(cx, buf);
            }
            ready!(self.poll_fill(cx))?;
        }
        let count = buf.remaining().min(self.read.len());
        buf.put_slice(self.read.split_at(count).0);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = data.iter().map(|slice| slice.len()).sum();
        if self.write.len() + length > WRITE_BUFFER {
            ready!(self.poll_drain(cx))?;
            if length >= WRITE_BUFFER {
                return self.io.poll_write(cx, data);
            }
        }
        for slice in data {
            self.write.extend_from_slice(slice);
        }
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        match &mut self.io {
            RawSocket::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            RawSocket::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl RawSocket {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx),
            Self::Unix(io) => io.poll_read_ready(cx),
        }
    }

    fn poll_read_buf(&mut self, cx: &mut Context<'_>, buf: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(io) => pin!(io.read_buf(buf)).poll(cx),
            Self::Unix(io) => pin!(io.read_buf(buf)).poll(cx),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, data),
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, data),
        }
    }

    fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(io) => io.try_write(data),
            Self::Unix(io) => io.try_write(data),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match &self.io {
            RawSocket::Tcp(io) => io.as_raw_fd(),
            RawSocket::Unix(io) => io.as_raw_fd(),
        }
    }
}

#[cfg(test)]
mod tests;
