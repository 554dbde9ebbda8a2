//! Standard Webhooks 1.0 signatures: HMAC-SHA256 over id, time and body. It does not verify them.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Fault;
use crate::model::Secret;

/// Shortest key that the standard allows, in bytes.
const KEY_BYTES: usize = 24;

const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys that sign a destination's requests. Several rotate: each gives a signature of its own.
pub(super) struct Signer(Vec<Hmac<Sha256>>);

impl Signer {
    pub(super) fn compile(secrets: &[Secret]) -> Result<Self, Vec<Fault>> {
        let mut keys = Vec::new();
        let mut faults = Vec::new();
        for (at, secret) in secrets.iter().enumerate() {
            match key(secret.expose().trim()) {
                Ok(bytes) => keys.push(Hmac::new_from_slice(&bytes).expect("HMAC takes any key")),
                Err(problem) => faults.push(
                    Fault::new(format!("sign.secrets[{at}]"), problem)
                        .hint("it looks like whsec_ and 24 to 64 random bytes in base64"),
                ),
            }
        }
        if faults.is_empty() {
            Ok(Self(keys))
        } else {
            Err(faults)
        }
    }

    /// The value of `webhook-signature`; None where nothing signs. `time` is in seconds since 1970.
    pub(super) fn sign(&self, id: &str, time: i64, body: &[u8]) -> Option<String> {
        let one = |key: &Hmac<Sha256>| {
            let mut mac = key.clone();
            mac.update(format!("{id}.{time}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let signatures: Vec<String> = self.0.iter().map(one).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.0.len())
    }
}

fn key(secret: &str) -> Result<Vec<u8>, &'static str> {
    if secret.starts_with("whsk_") {
        return Err("an asymmetric key (whsk_) cannot sign here");
    }
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    let bytes = FORGIVING
        .decode(text)
        .map_err(|_| "the secret is not base64")?;
    match bytes.len() {
        0 => Err("the secret is empty"),
        KEY_BYTES.. => Ok(bytes),
        _ => Err("the secret is shorter than 24 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

    fn sign(secrets: &[&str], id: &str, time: i64, body: &str) -> Option<String> {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(text)).collect();
        Signer::compile(&secrets)
            .unwrap()
            .sign(id, time, body.as_bytes())
    }

    #[test]
    fn signatures_are_those_of_the_standards_libraries() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        for (secret, id, time, body, expected) in [
            (
                SECRET,
                ID,
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                other,
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                SECRET,
                ID,
                1_614_265_330,
                "",
                "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=",
            ),
            (
                SECRET,
                ID,
                1_614_265_330,
                "{\"n\":\"Zoë — 你好\"}",
                "v1,82VHEuyvLoLgBW65z2jwHMMTBvRximK4spdytC7b/os=",
            ),
        ] {
            assert_eq!(sign(&[secret], id, time, body).as_deref(), Some(expected));
            let bare = secret.trim_start_matches("whsec_");
            assert_eq!(sign(&[bare], id, time, body).as_deref(), Some(expected));
        }
    }

    #[test]
    fn each_secret_gives_one_signature_in_order() {
        let one = |secret| sign(&[secret], ID, 1, "{}").unwrap();
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = sign(&[SECRET, other], ID, 1, "{}").unwrap();
        assert_eq!(both, format!("{} {}", one(SECRET), one(other)));
        assert_eq!(sign(&[], ID, 1, "{}"), None);
    }

    #[test]
    fn weak_or_wrong_secrets_are_refused_without_being_shown() {
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "not base64!",
            "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let faults = Signer::compile(&[Secret::new(SECRET), Secret::new(secret)]).unwrap_err();
            assert_eq!(faults[0].key, "sign.secrets[1]", "{secret}");
            assert!(secret.len() < 8 || !format!("{faults:?}").contains(secret));
        }
    }
}
