use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

/// A directory of the service, with the deposit in it.
fn deposit() -> (TempDir, PathBuf, Deposit) {
    let parent = TempDir::new().unwrap();
    let place = parent.path().join("tls");
    let deposit = Deposit::open(parent.path(), &place).unwrap();
    (parent, place, deposit)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn copies_are_for_their_owner_alone_and_replace_one_another() {
    let (parent, place, deposit) = deposit();
    let source = parent.path().join("key.pem");
    for text in ["first", "second"] {
        fs::write(&source, text).unwrap();
        assert!(copy(&deposit, std::slice::from_ref(&source)).is_empty());
        let copied = place.join(copy_name(&source));
        assert_eq!((fs::read_to_string(&copied).unwrap().as_str(), mode(&copied)), (text, 0o400));
    }
    assert_eq!((mode(&place), fs::read_dir(&place).unwrap().count()), (0o700, 1));
}

#[test]
fn links_are_followed_for_reading_and_never_for_writing() {
    let (parent, place, deposit) = deposit();
    let path = |name: &str| parent.path().join(name);
    fs::write(path("privkey1.pem"), "key").unwrap();
    symlink("privkey1.pem", path("privkey.pem")).unwrap();
    fs::write(path("victim"), "untouched").unwrap();
    // What the service's user may have put in the way.
    symlink(path("victim"), place.join(UNFINISHED)).unwrap();
    symlink(path("victim"), place.join(copy_name(&path("privkey.pem")))).unwrap();
    assert!(copy(&deposit, &[path("privkey.pem")]).is_empty());
    assert_eq!(fs::read_to_string(path("victim")).unwrap(), "untouched");
    let copied = place.join(copy_name(&path("privkey.pem")));
    assert!(fs::symlink_metadata(&copied).unwrap().is_file());
    assert_eq!(fs::read_to_string(&copied).unwrap(), "key");
}

#[test]
fn a_link_in_place_of_the_directory_is_not_followed() {
    let parent = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    symlink(elsewhere.path(), parent.path().join("tls")).unwrap();
    assert!(Deposit::open(parent.path(), &parent.path().join("tls")).is_err());
    let linked = parent.path().join("linked");
    symlink(elsewhere.path(), &linked).unwrap();
    assert!(Deposit::open(&linked, &linked.join("tls")).is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_named_any_more_goes_and_what_cannot_be_read_stays() {
    let (parent, place, deposit) = deposit();
    let path = |name: &str| parent.path().join(name);
    fs::write(path("a"), "a").unwrap();
    fs::write(path("b"), "b").unwrap();
    assert!(copy(&deposit, &[path("a"), path("b")]).is_empty());
    fs::remove_file(path("b")).unwrap();
    let failed = copy(&deposit, &[path("b")]);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].to_string().starts_with(&format!("cannot copy {}: No such file", path("b").display())));
    assert!(!place.join(copy_name(&path("a"))).exists());
    assert_eq!(fs::read_to_string(place.join(copy_name(&path("b")))).unwrap(), "b");
}

#[test]
fn only_files_of_a_likely_size_are_copied() {
    let (parent, _, deposit) = deposit();
    let large = parent.path().join("large");
    File::create(&large).unwrap().set_len(MAX_FILE + 1).unwrap();
    let failed = copy(&deposit, &[large, parent.path().to_owned(), PathBuf::from("/dev/zero")]);
    assert_eq!(failed.len(), 3, "{failed:?}");
}

#[test]
fn what_others_can_write_is_not_believed() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name);
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::write(path("gateway.yaml"), "").unwrap();
    symlink("gateway.yaml", path("link.yaml")).unwrap();
    let believed = |name: &str| match trust(&path(name)) {
        Ok(()) => None,
        Err(Distrusted::Writable(path)) => Some(path),
        Err(error @ Distrusted::Io { .. }) => panic!("{error}"),
    };
    allow(&path("gateway.yaml"), 0o640);
    assert_eq!((believed("gateway.yaml"), believed("link.yaml")), (None, None));
    for mode in [0o660, 0o602] {
        allow(&path("gateway.yaml"), mode);
        assert!(believed("gateway.yaml").is_some() && believed("link.yaml").is_some(), "{mode:o}");
    }
    allow(&path("gateway.yaml"), 0o640);
    allow(directory.path(), 0o777);
    assert_eq!(believed("gateway.yaml").as_deref(), Some(directory.path()));
    assert!(matches!(trust(&path("none")), Err(Distrusted::Io { .. })));
}
