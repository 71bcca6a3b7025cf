use std::io::Read;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn pair() -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Socket::new(RawSocket::Unix(ours)), theirs)
}

#[tokio::test]
async fn a_head_and_a_small_body_leave_together_at_the_flush() {
    let (mut ours, theirs) = pair();
    let mut theirs = theirs.into_std().unwrap();
    ours.write_all(b"head").await.unwrap();
    ours.write_all(b"body").await.unwrap();
    let mut packet = [0; 100];
    assert_eq!(theirs.read(&mut packet).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    ours.flush().await.unwrap();
    assert_eq!(theirs.read(&mut packet).unwrap(), 8);
    assert!(packet.starts_with(b"headbody"));
}

#[tokio::test]
async fn what_was_written_leaves_before_the_client_is_waited_for() {
    let (mut ours, theirs) = pair();
    let mut theirs = theirs.into_std().unwrap();
    ours.write_all(b"beginning").await.unwrap();
    let mut next = [0; 1];
    let waiting = tokio::select! {
        biased;
        _ = ours.read(&mut next) => false,
        () = std::future::ready(()) => true,
    };
    let mut packet = [0; 100];
    assert!(waiting);
    assert_eq!(theirs.read(&mut packet).unwrap(), 9);
}

#[tokio::test]
async fn writes_of_all_sizes_arrive_in_their_order() {
    let (mut ours, mut theirs) = pair();
    let sizes = [1, WRITE_BUFFER - 1, 1, WRITE_BUFFER, 3, 70_000, WRITE_BUFFER + 1, 17, 0, 250_000, 5];
    let sent: Vec<Vec<u8>> = sizes.iter().zip(b'a'..).map(|(&size, letter)| vec![letter; size]).collect();
    let expected = sent.concat();
    let sending = async {
        for piece in &sent {
            ours.write_all(piece).await.unwrap();
        }
        ours.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (read, ()) = tokio::join!(theirs.read_to_end(&mut received), sending);
    read.unwrap();
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
}

#[tokio::test]
async fn a_stream_that_is_dropped_without_a_flush_sends_what_it_holds() {
    let (mut ours, mut theirs) = pair();
    ours.write_all(b"last words").await.unwrap();
    drop(ours);
    let mut received = String::new();
    theirs.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "last words");
}

#[tokio::test]
async fn small_reads_lose_nothing_of_a_large_packet() {
    let (mut ours, mut theirs) = pair();
    let sent: Vec<u8> = (0..=u8::MAX).cycle().take(40_000).collect();
    let expected = sent.clone();
    let sending = async {
        theirs.write_all(&sent).await.unwrap();
        AsyncWriteExt::shutdown(&mut theirs).await.unwrap();
    };
    let reading = async {
        let mut received = Vec::new();
        for size in [1, 5, 4096, 16 * 1024, 64 * 1024].into_iter().cycle() {
            let mut piece = vec![0; size];
            match ours.read(&mut piece).await.unwrap() {
                0 => return received,
                count => received.extend_from_slice(&piece[..count]),
            }
        }
        unreachable!()
    };
    let (received, ()) = tokio::join!(reading, sending);
    assert!(received == expected);
}

#[tokio::test]
async fn an_idle_socket_holds_no_buffer() {
    let (mut ours, mut theirs) = pair();
    theirs.write_all(b"request").await.unwrap();
    let mut request = [0; 7];
    ours.read_exact(&mut request).await.unwrap();
    ours.write_all(b"answer").await.unwrap();
    ours.flush().await.unwrap();
    let mut next = [0; 100];
    let pending = tokio::select! {
        biased;
        _ = ours.read(&mut next) => false,
        () = std::future::ready(()) => true,
    };
    assert!(pending);
    assert_eq!((ours.read.capacity(), ours.write.capacity()), (0, 0));
}
