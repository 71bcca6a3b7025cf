use std::fs;

use super::*;

/// Runs `synapse-gateway` with the arguments and returns how it ended and what it wrote.
fn check(arguments: &[&str]) -> (Exit, String, String) {
    let arguments = std::iter::once("synapse-gateway").chain(arguments.iter().copied()).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(arguments, &mut out, &mut err);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn exit_codes_are_those_of_the_manual() {
    let codes = [Exit::Fine, Exit::Failure, Exit::Usage, Exit::Configuration].map(Exit::code);
    assert_eq!(codes, [0, 1, 2, 78]);
}

#[test]
fn asking_for_help_is_no_error_and_goes_to_standard_output() {
    for arguments in [&["--help"][..], &["check", "--help"], &["help"]] {
        let (exit, out, err) = check(arguments);
        assert_eq!((exit, err.as_str()), (Exit::Fine, ""), "{arguments:?}");
        assert!(out.contains("USAGE"), "{out}");
    }
}

#[test]
fn every_subcommand_says_what_it_does() {
    let help = check(&["--help"]).1;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in ["check Checks the configuration", "reference Prints a configuration file"] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn what_cannot_be_understood_is_a_usage_error_and_goes_to_standard_error() {
    for arguments in [&[][..], &["chekc"], &["check", "--jsno"], &["check", "-c"], &["reference", "more"]] {
        let (exit, out, err) = check(arguments);
        assert_eq!((exit, out.as_str()), (Exit::Usage, ""), "{arguments:?}");
        assert!(err.contains("USAGE") || err.contains("error"), "{err}");
    }
}

#[test]
fn a_wrong_configuration_exits_with_78_and_names_file_line_and_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    fs::write(&file, "version: 1\nthreads: many\n").unwrap();
    let name = file.to_str().unwrap();
    let (exit, out, err) = check(&["check", "-c", name]);
    assert_eq!((exit, err.as_str()), (Exit::Configuration, ""));
    assert!(out.starts_with(&format!("{name}:2:1: error: threads: must be a whole number")), "{out}");
    assert!(out.ends_with("\n1 error, 0 warnings\n"), "{out}");

    let (exit, out, _) = check(&["check", "--json", "-c", name]);
    assert_eq!(exit, Exit::Configuration);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{out}");
    assert_eq!((&list[0]["file"], &list[0]["line"], &list[0]["path"]), (&name.into(), &2.into(), &"threads".into()));
}

#[test]
fn a_file_that_is_not_there_is_a_configuration_error_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.yaml");
    let (exit, out, err) = check(&["check", "-c", file.to_str().unwrap()]);
    assert_eq!((exit, err.as_str()), (Exit::Configuration, ""));
    assert!(out.starts_with("error: cannot read ") && out.contains("`-c`"), "{out}");
}

#[test]
fn files_in_conf_d_are_read_in_order_and_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("gateway.yaml", "version: 1\n");
    fs::create_dir(directory.path().join("conf.d")).unwrap();
    write("conf.d/20-second.yaml", "second: 1\n");
    write("conf.d/10-first.yaml", "first: 1\n");
    write("conf.d/30-third.yaml.dpkg-old", "third: 1\n");
    write("conf.d/.40-fourth.yaml", "fourth: 1\n");
    let (exit, out, _) = check(&["check", "-c", directory.path().join("gateway.yaml").to_str().unwrap()]);
    assert_eq!(exit, Exit::Configuration);
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].contains("conf.d/10-first.yaml:1:1: error: first: "), "{out}");
    assert!(lines[1].contains("conf.d/20-second.yaml:1:1: error: second: "), "{out}");
    assert_eq!(lines[2..], ["2 errors, 0 warnings"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut err = Vec::new();
    let exit = run(["synapse-gateway", "reference"].map(OsString::from), &mut Closed, &mut err);
    assert_eq!((exit, err), (Exit::Fine, Vec::new()));
}

#[test]
fn the_manual_page_and_the_completions_have_every_subcommand_with_its_options() {
    let (exit, page, err) = check(&["manual"]);
    assert_eq!((exit, err.as_str()), (Exit::Fine, ""));
    let listed = check(&["--help"]).1;
    let commands = listed.lines().skip_while(|line| *line != "SUBCOMMANDS:").skip(1);
    // What is indented further goes on from the line before.
    let commands = commands.filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains(&"explain") && !commands.contains(&"manual"), "{listed}");
    let scripts = ["bash", "fish", "zsh"].map(|shell| check(&["completions", shell]).1);
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(page.contains(&format!("\n.SS {}\n", command.replace('-', "\\-"))), "{command} is not in\n{page}");
        assert!(scripts.iter().all(|script| script.contains(command)), "{command}");
    }
    for option in [".B \\-H, \\-\\-header <NAME: VALUE>...\n\\&A header of the request\n", ".B <url>\n\\&The URL,"] {
        assert!(page.contains(option), "{option} is not in\n{page}");
    }
    assert!(!page.contains("COMMANDS\n.SH SERVICE"), "no command is left out");
}

#[test]
fn the_reference_is_a_file_to_copy_from_or_a_manual_page() {
    assert_eq!(check(&["reference"]), (Exit::Fine, crate::config::reference(), String::new()));
    assert_eq!(check(&["reference", "--format", "man"]), (Exit::Fine, crate::config::man(), String::new()));
}

/// Debian's layout, with what lies beside the configuration.
fn synapse(directory: &std::path::Path) {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    for name in ["conf.d", "workers"] {
        fs::create_dir(directory.join(name)).unwrap();
    }
    let listener =
        "type: http, x_forwarded: true, request_id_header: X-Request-Id, resources: [{names: [client, federation]}]";
    let main = format!("listeners: [{{port: 8008, bind_address: 127.0.0.1, {listener}}}]\nform_secret: hidden\n");
    write("homeserver.yaml", &main);
    write("log.yaml", "version: 1\nhandlers: {}\n");
    write("conf.d/server_name.yaml", "server_name: example.com\npublic_baseurl: https://example.com/\n");
    write("conf.d/server_name.yaml.dpkg-dist", "server_name: dpkg.example\n");
    let replication = "redis: {enabled: true}\ninstance_map: {main: {host: 127.0.0.1, port: 9093}}\n";
    write("conf.d/replication.yaml", replication);
    let worker = "worker_app: synapse.app.generic_worker\nworker_name: sync1\n";
    write("workers/sync1.yaml", &format!("{worker}worker_listeners: [{{path: /run/sync1.sock, {listener}}}]\n"));
    write("workers/sync1-log.yaml", "version: 1\nhandlers: {}\n");
}

#[test]
fn the_directory_of_synapse_is_all_that_derive_takes() {
    let directory = tempfile::tempdir().unwrap();
    synapse(directory.path());
    let (exit, out, err) = check(&["derive", directory.path().to_str().unwrap()]);
    assert_eq!((exit, err.as_str()), (Exit::Fine, "0 errors, 0 warnings\n"));
    for line in ["server_name: example.com ", "    address: \"127.0.0.1:8008\" ", "    roles: [sync] "] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
    assert!(!out.contains("dpkg") && !out.contains("hidden"), "{out}");

    let (exit, out, err) = check(&["derive", "--json", directory.path().to_str().unwrap()]);
    assert_eq!((exit, err.as_str()), (Exit::Fine, ""));
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["configuration"]["upstreams"]["sync1"]["roles"], serde_json::json!(["sync"]));
    let origin = told["origins"]["upstreams.sync1.address"].as_str().unwrap();
    assert!(origin.ends_with("workers/sync1.yaml:3"), "{origin}");
    assert_eq!(told["problems"], serde_json::json!([]));
}

#[test]
fn files_that_are_named_one_by_one_are_told_apart_by_their_keys() {
    let directory = tempfile::tempdir().unwrap();
    synapse(directory.path());
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (worker, main, more) = (at("workers/sync1.yaml"), at("homeserver.yaml"), at("conf.d"));
    let (exit, out, _) = check(&["derive", &worker, &main, &more]);
    assert!(exit == Exit::Fine && out.contains("    roles: [sync] "), "{out}");
}

#[test]
fn derive_ends_with_78_for_what_synapse_would_not_start_with_and_1_for_what_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    synapse(directory.path());
    fs::write(directory.path().join("conf.d/broken.yaml"), "form_secret: \"hidden\nx: 1\n").unwrap();
    let (exit, out, err) = check(&["derive", directory.path().to_str().unwrap()]);
    assert_eq!((exit, out.as_str()), (Exit::Configuration, ""));
    assert!(err.contains("conf.d/broken.yaml:1:14: error: the YAML cannot be read here"), "{err}");
    assert!(!err.contains("hidden"), "{err}");
    let (exit, out, err) = check(&["derive", directory.path().join("nothing").to_str().unwrap()]);
    assert_eq!((exit, out.as_str()), (Exit::Failure, ""));
    assert!(err.starts_with("error: cannot read ") && err.ends_with("1 error, 0 warnings\n"), "{err}");
}
