//! What is put on the shelf is what is taken from it, or nothing is.

use std::os::unix::fs::PermissionsExt as _;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::edge::store::tests::{at, here, id, revision, session, visitor, write as change};
use crate::rendezvous::session::{Retry, Stamp, Write};
use crate::rendezvous::{Revisions, TransactionId};

fn shelf() -> (TempDir, Shelf) {
    let directory = TempDir::new().unwrap();
    let shelf = Shelf::new(Some(directory.path()), None).unwrap();
    (directory, shelf)
}

fn resident(number: u128, session: Session) -> Resident {
    Resident { id: id(number), visitor: here(), session }
}

/// A session that remembers its writes: one that was named and accepted, and one that was refused.
fn written() -> Session {
    let mut session = session("a", 0);
    let named = |name: &str| Retry::SameTransaction(TransactionId::parse(id(1), name).unwrap());
    let write = Write { retry: named("m1"), ..change(Revisions::Any, "b", 1) };
    session.write(write, at(1)).unwrap();
    let write = Write { retry: named("m2"), ..change(Revisions::OneOf(Vec::new()), "c", 2) };
    session.write(write, at(2)).unwrap_err();
    session
}

#[test]
fn sessions_come_back_as_they_were_and_once() {
    let (_directory, shelf) = shelf();
    assert_eq!(shelf.take(at(3)).unwrap(), []);
    let mut sessions = vec![resident(1, written()), resident(2, session("x", 0))];
    sessions[1].visitor = visitor("2001:db8::1");
    assert_eq!(shelf.keep(sessions.clone()).unwrap(), Kept { written: 2, left_out: 0 });
    assert_eq!(fs::metadata(shelf.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let taken = shelf.take(at(3)).unwrap();
    assert_eq!(taken, sessions);
    assert_eq!(taken[0].session.stamp(), Stamp { revision: revision(1), modified: at(1), expires: at(60) });
    assert!(!shelf.file().exists());
    assert_eq!(shelf.take(at(3)).unwrap(), []);
}

#[test]
fn what_has_expired_meanwhile_stays_away() {
    let (_directory, shelf) = shelf();
    let sessions = vec![resident(1, session("", 0)), resident(2, session("", 10))];
    shelf.keep(sessions.clone()).unwrap();
    assert_eq!(shelf.take(at(60)).unwrap(), sessions[1..]);
}

#[test]
fn a_file_that_is_not_ours_and_whole_is_removed_and_not_read() {
    let check = |expected: &str, spoil: fn(&Path)| {
        let (_directory, shelf) = shelf();
        shelf.keep(vec![resident(1, written())]).unwrap();
        spoil(&shelf.file());
        let told = shelf.take(at(3)).unwrap_err();
        assert_eq!(told.to_string(), expected);
        assert!(fs::symlink_metadata(shelf.file()).is_err(), "{expected}");
    };
    check("it is damaged", |path| {
        let mut bytes = fs::read(path).unwrap();
        let place = bytes.len() - 40;
        bytes[place] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    check("it is damaged", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    });
    check("it is damaged", |path| fs::write(path, FORMAT).unwrap());
    check("it is of another format or version", |path| fs::write(path, "").unwrap());
    check("it is of another format or version", |path| {
        let text = String::from_utf8_lossy(FORMAT).replace('1', "2");
        fs::write(path, text).unwrap();
    });
    check("it is too large", |path| File::options().write(true).open(path).unwrap().set_len(MOST + 1).unwrap());
    let alone = "it is not a file of this user's alone";
    check(alone, |path| fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap());
    check(alone, |path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::rename(path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(elsewhere, path).unwrap();
    });
}

/// Whole by its sum, and yet not what we write.
#[test]
fn an_item_that_no_session_can_be_is_not_read() {
    let (_directory, shelf) = shelf();
    let spoilt: [fn(&mut Item); 5] = [
        |item| item.id.push('0'),
        |item| item.protocol = "msc1".to_owned(),
        |item| item.revision.clear(),
        |item| item.previous = Some("x".to_owned()),
        |item| item.media_type = Bytes::from_static(b"\n"),
    ];
    for spoil in spoilt {
        let mut item = Item::of(resident(1, written()));
        spoil(&mut item);
        let mut bytes = FORMAT.to_vec();
        ciborium::into_writer(&item, &mut bytes).unwrap();
        let sum = digest(&SHA256, &bytes);
        bytes.extend(sum.as_ref());
        fs::write(shelf.file(), bytes).unwrap();
        fs::set_permissions(shelf.file(), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(shelf.take(at(3)), Err(ShelfError::Damaged)));
    }
}

#[test]
fn an_unfinished_file_is_no_obstacle_and_not_read() {
    let (directory, shelf) = shelf();
    fs::write(directory.path().join("rendezvous-sessions.new"), "half").unwrap();
    assert_eq!(shelf.take(at(0)).unwrap(), []);
    shelf.keep(vec![resident(1, session("", 0))]).unwrap();
    assert_eq!(shelf.take(at(0)).unwrap().len(), 1);
}

#[test]
fn the_directory_is_the_configured_one_or_that_of_the_service() {
    let check = |configured: Option<&str>, given: Option<&str>, expected: &str| {
        let shelf = Shelf::new(configured.map(Path::new), given.map(OsStr::new)).unwrap();
        assert_eq!(shelf.file(), Path::new(expected).join(NAME));
    };
    check(Some("/a"), Some("/b"), "/a");
    check(None, Some("/b:/c"), "/b");
    check(None, Some("relative:/c"), "/c");
}
