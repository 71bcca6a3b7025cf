use std::time::{Duration, SystemTime};

use rustls::SignatureScheme::{ECDSA_NISTP256_SHA256, RSA_PSS_SHA256};

use super::*;
use crate::edge::fixture::{self, Issuer};
use crate::listen::PairPaths;

const BOTH: &[SignatureScheme] = &[ECDSA_NISTP256_SHA256, RSA_PSS_SHA256];

fn loaded(pairs: Vec<PairPaths>) -> Loaded {
    load(&fixture::tls(pairs), SystemTime::now(), &mut Problems::default()).unwrap()
}

/// The problems with one pair, with the directory's name left out.
fn problems(issuer: &Issuer, pair: PairPaths) -> Vec<String> {
    let mut problems = Problems::default();
    let loaded = load(&fixture::tls(vec![pair]), SystemTime::now(), &mut problems);
    assert_eq!(loaded.is_none(), problems.has_errors());
    let folder = format!("{}/", issuer.path().display());
    problems.as_slice().iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
}

mod loading {
    use super::*;

    #[test]
    fn a_sound_pair_has_no_problems() {
        let issuer = Issuer::new();
        assert_eq!(problems(&issuer, issuer.issue("a", &["example.com"])), Vec::<String>::new());
    }

    #[test]
    fn a_missing_file_is_named_with_its_key() {
        let issuer = Issuer::new();
        let pair = PairPaths { key: issuer.file("none"), ..issuer.issue("a", &["example.com"]) };
        assert_eq!(
            problems(&issuer, pair),
            [
                "error: tls.certificates[0].key: cannot read none: No such file or directory (os error 2); see whether the path is right and the certificate was issued"
            ]
        );
    }

    #[test]
    fn swapped_files_are_recognised() {
        let issuer = Issuer::new();
        let pair = issuer.issue("a", &["example.com"]);
        let swapped = PairPaths { cert: pair.key, key: pair.cert, path: pair.path };
        assert_eq!(
            problems(&issuer, swapped),
            [
                "error: tls.certificates[0].cert: there is no PEM certificate in a.key; name the file with the chain, such as certbot's `fullchain.pem`"
            ]
        );
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let issuer = Issuer::new();
        let other = issuer.issue("b", &["example.com"]);
        let pair = PairPaths { key: other.key, ..issuer.issue("a", &["example.com"]) };
        assert_eq!(
            problems(&issuer, pair),
            [
                "error: tls.certificates[0].key: the key in b.key does not belong to the first certificate in a.pem; name the key that the certificate was issued for, and a chain that starts with the server's own certificate"
            ]
        );
    }

    #[test]
    fn an_encrypted_key_is_recognised() {
        let issuer = Issuer::new();
        let pair = issuer.issue("a", &["example.com"]);
        std::fs::write(&pair.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .unwrap();
        assert_eq!(
            problems(&issuer, pair),
            [
                "error: tls.certificates[0].key: the private key in a.key is encrypted; remove its passphrase: `openssl pkey -in a.key -out new.pem`"
            ]
        );
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_position() {
        let issuer = Issuer::new();
        let pair = issuer.issue("a", &["example.com"]);
        let sound = std::fs::read_to_string(&pair.cert).unwrap();
        std::fs::write(&pair.cert, format!("{sound}-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
            .unwrap();
        assert_eq!(
            problems(&issuer, pair),
            [
                "error: tls.certificates[0].cert: certificate 2 in a.pem is not an X.509 certificate; have the certificate issued again, or copy it again"
            ]
        );
    }

    #[test]
    fn an_expired_certificate_is_used_with_a_warning() {
        let issuer = Issuer::new();
        let pair = issuer.issue_with("a", &["example.com"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        assert_eq!(
            problems(&issuer, pair),
            [
                "warning: tls.certificates[0].cert: the certificate has expired: example.com, valid until 2020-01-01T00:00:00Z (a.pem); renew it (`certbot renew`), and see why that did not happen by itself"
            ]
        );
    }

    #[test]
    fn a_certificate_that_ends_within_two_weeks_is_reported() {
        let issuer = Issuer::new();
        let pair = issuer.issue("a", &["example.com"]);
        let end = loaded(vec![pair.clone()]).pairs[0].not_after;
        let check = |days_left: u64, expected: usize| {
            let mut problems = Problems::default();
            let now = end - Duration::from_hours(days_left * 24);
            assert!(load(&fixture::tls(vec![pair.clone()]), now, &mut problems).is_some());
            assert_eq!(problems.as_slice().len(), expected, "{days_left} days: {:?}", problems.as_slice());
        };
        check(15, 0);
        check(13, 1);
    }

    #[test]
    fn a_chain_out_of_order_and_a_certificate_without_names_are_reported() {
        let issuer = Issuer::new();
        let other = issuer.issue_with("b", &["example.com"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
            params.distinguished_name.push(rcgen::DnType::CommonName, "another");
        });
        let pair = issuer.issue("a", &[]);
        let chain = [&pair.cert, &other.cert].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(&pair.cert, chain).unwrap();
        let problems = problems(&issuer, pair);
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("the certificate has no host name: no name, valid until"), "{}", problems[0]);
        assert!(problems[1].contains("the chain is out of order"), "{}", problems[1]);
    }

    #[test]
    fn certbots_bare_certificate_is_reported() {
        let issuer = Issuer::new();
        let pair = issuer.issue("cert", &["example.com"]);
        std::fs::copy(&pair.cert, issuer.file("fullchain.pem")).unwrap();
        assert_eq!(
            problems(&issuer, pair),
            [
                "warning: tls.certificates[0].cert: certbot's `cert.pem` lacks the issuer's certificate, so clients refuse it; write `fullchain.pem`"
            ]
        );
    }
}

mod choice {
    use super::*;

    /// `a` and `rsa` for example.com, `b` for other.org; the first is the default.
    fn check(unknown_sni: UnknownSni, name: Option<&str>, schemes: &[SignatureScheme], expected: Option<&str>) {
        let issuer = Issuer::new();
        let pairs = vec![
            issuer.issue("a", &["example.com", "*.example.com"]),
            issuer.issue_with("rsa", &["example.com"], &rcgen::PKCS_RSA_SHA256, |_| {}),
            issuer.issue("b", &["other.org"]),
        ];
        let loaded = load(&Tls { unknown_sni, ..fixture::tls(pairs) }, SystemTime::now(), &mut Problems::default());
        let chosen = loaded.unwrap().choose(name, schemes);
        let expected = expected.map(|stem| fixture::certificate(&issuer.paths(stem)));
        assert_eq!(chosen.map(|certified| certified.cert[0].clone()), expected, "{name:?}");
    }

    #[test]
    fn the_name_decides() {
        check(UnknownSni::Refuse, Some("example.com"), BOTH, Some("a"));
        check(UnknownSni::Refuse, Some("matrix.example.com"), BOTH, Some("a"));
        check(UnknownSni::Refuse, Some("other.org"), BOTH, Some("b"));
    }

    #[test]
    fn of_two_for_one_name_the_client_gets_what_it_can_verify() {
        check(UnknownSni::Refuse, Some("example.com"), &[RSA_PSS_SHA256], Some("rsa"));
        check(UnknownSni::Refuse, None, &[RSA_PSS_SHA256], Some("rsa"));
        check(UnknownSni::Refuse, Some("other.org"), &[RSA_PSS_SHA256], Some("b"));
    }

    #[test]
    fn a_client_without_a_name_gets_the_first() {
        check(UnknownSni::Refuse, None, BOTH, Some("a"));
    }

    #[test]
    fn an_unknown_name_gets_what_the_policy_says() {
        check(UnknownSni::Refuse, Some("unknown.org"), BOTH, None);
        check(UnknownSni::Default, Some("unknown.org"), BOTH, Some("a"));
    }
}

mod reloading {
    use super::*;

    fn in_use(certificates: &Certificates, name: &str) -> rustls::pki_types::CertificateDer<'static> {
        certificates.current.load().choose(Some(name), BOTH).unwrap().cert[0].clone()
    }

    #[test]
    fn files_that_did_not_change_are_left_alone() {
        let issuer = Issuer::new();
        let certificates = Certificates::new(loaded(vec![issuer.issue("a", &["example.com"])]));
        assert!(matches!(certificates.reload()[..], [Reloaded::Unchanged]));
    }

    #[test]
    fn a_new_pair_is_taken_into_use_with_its_names() {
        let issuer = Issuer::new();
        let pair = issuer.issue("a", &["example.com"]);
        let certificates = Certificates::new(loaded(vec![pair.clone()]));
        assert!(!certificates.answers("other.org"));
        issuer.issue("a", &["other.org"]);
        assert!(matches!(certificates.reload()[..], [Reloaded::Renewed]));
        assert!(certificates.answers("other.org"));
        assert_eq!(in_use(&certificates, "other.org"), fixture::certificate(&pair));
        assert_eq!(certificates.expiries()[0].names, ["other.org"]);
    }

    #[test]
    fn a_bad_pair_keeps_the_old_one_and_does_not_stop_the_others() {
        let issuer = Issuer::new();
        let (a, b) = (issuer.issue("a", &["example.com"]), issuer.issue("b", &["other.org"]));
        let certificates = Certificates::new(loaded(vec![a.clone(), b.clone()]));
        let old = fixture::certificate(&a);
        std::fs::write(&a.cert, "half a certif").unwrap();
        issuer.issue("b", &["other.org"]);
        let outcomes = certificates.reload();
        assert!(
            matches!(outcomes[..], [Reloaded::Kept(PairError::NoCertificate(_)), Reloaded::Renewed]),
            "{outcomes:?}"
        );
        assert_eq!(in_use(&certificates, "example.com"), old);
        assert_eq!(in_use(&certificates, "other.org"), fixture::certificate(&b));
    }
}
