//! Keys in tokens, by PKCS#11: the token signs Ed25519 (`CKM_EDDSA`), and its private keys never leave it.
//!
//! *Invariants:* one request at a time goes to a token; a session that failed is opened again once for each request; a
//! signature that doesn't hold under the token's public key is never passed on.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use rustorium_crypto::verify;
use rustorium_types::{PublicKey, Signature};
use std::collections::BTreeMap;
use std::path::PathBuf;
use thiserror::Error;
use zeroize::Zeroizing;

/// URI of a key in a token: RFC 7512, with the module's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenUri {
    /// The module, a shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label.
    pub object: String,
    /// A file with the PIN.
    pub pin_file: PathBuf,
}

/// A token's key can't be used.
#[derive(Debug, Error)]
pub enum TokenFault {
    /// The text is no such URI.
    #[error(
        "{uri} names no key in a token ({what}): write \
         pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/…/module.so&pin-source=file:/path/to/pin"
    )]
    Uri {
        /// The text.
        uri: String,
        /// Fault of the text.
        what: &'static str,
    },
    /// The module can't be loaded.
    #[error("can't use the PKCS#11 module {path} ({error}): install it, or correct module-path")]
    Module {
        /// Path of the module.
        path: PathBuf,
        /// The error.
        error: TokenError,
    },
    /// There is no such token.
    #[error("no token is labelled {0}: insert or make it, or correct token=")]
    NoToken(String),
    /// There is no such key, or several.
    #[error(
        "the token {token} holds {count} Ed25519 keys labelled {object}: make one, and give each a label of its own"
    )]
    NotOne {
        /// The token.
        token: String,
        /// The label.
        object: String,
        /// Number of keys.
        count: usize,
    },
    /// The public key can't be read.
    #[error("the token {0} doesn't give the public key: store it with the private one, under the same label")]
    NoPublic(String),
    /// The PIN can't be read.
    #[error("can't read the PIN from {path} ({error}): correct pin-source")]
    Pin {
        /// The file.
        path: PathBuf,
        /// The error.
        error: std::io::Error,
    },
    /// The token reports an error.
    #[error("the token {token} refuses ({error}): check its PIN and that it is inserted")]
    Token {
        /// The token.
        token: String,
        /// The error.
        error: TokenError,
    },
}

impl TokenUri {
    /// Parses a URI.
    ///
    /// # Errors
    /// The URI lacks a part, or has an unknown one.
    pub fn parse(uri: &str) -> Result<Self, TokenFault> {
        let fault = |what| TokenFault::Uri { uri: uri.to_owned(), what };
        let rest = uri.strip_prefix("pkcs11:").ok_or_else(|| fault("it doesn't begin with pkcs11:"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = BTreeMap::new();
        for part in path.split(';').chain(query.split('&')).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| fault("a part has no value"))?;
            let value = unescaped(value).ok_or_else(|| fault("a value is wrongly escaped"))?;
            if parts.insert(name, value).is_some() {
                return Err(fault("a part comes twice"));
            }
        }
        let mut take = |name, what| parts.remove(name).filter(|value| !value.is_empty()).ok_or_else(|| fault(what));
        let token = take("token", "it lacks token=")?;
        let object = take("object", "it lacks object=")?;
        let module = PathBuf::from(take("module-path", "it lacks module-path=")?);
        let pin = take("pin-source", "it lacks pin-source=")?;
        let pin_file = PathBuf::from(pin.strip_prefix("file:").unwrap_or(&pin));
        if parts.is_empty() { Ok(Self { module, token, object, pin_file }) } else { Err(fault("a part is unknown")) }
    }
}

/// Decodes the percent signs of a URI's value.
fn unescaped(value: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(value.len()), value.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'))?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok()
}

/// A key in a token.
pub struct TokenKey {
    uri: TokenUri,
    module: Pkcs11,
    pin: AuthPin,
    public: PublicKey,
    open: Mutex<Option<(Session, ObjectHandle)>>,
}

impl TokenKey {
    /// Loads the module, opens the token and finds the key.
    ///
    /// # Errors
    /// A `TokenFault`, which names the next step.
    pub fn open(uri: TokenUri) -> Result<Self, TokenFault> {
        let module_failed = |error| TokenFault::Module { path: uri.module.clone(), error };
        let module = Pkcs11::new(&uri.module).map_err(module_failed)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of the same module was opened first.
            Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(module_failed(error)),
        }
        let pin = std::fs::read_to_string(&uri.pin_file).map(Zeroizing::new);
        let pin = pin.map_err(|error| TokenFault::Pin { path: uri.pin_file.clone(), error })?;
        let pin = AuthPin::new(pin.trim_end_matches(['\n', '\r']).into());
        let (session, key) = session(&module, &uri, &pin)?;
        let public = public_of(&session, &uri)?;
        Ok(Self { uri, module, pin, public, open: Mutex::new(Some((session, key))) })
    }

    /// Returns the public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes.
    ///
    /// # Errors
    /// Those of the token in the second attempt.
    pub fn sign(&self, bytes: &[u8]) -> Result<Signature, String> {
        let mut open = self.open.lock();
        if let Some((session, key)) = open.take()
            && let Ok(signature) = signature_of(&session, key, bytes)
        {
            *open = Some((session, key));
            return self.checked(bytes, signature);
        }
        let (session, key) = session(&self.module, &self.uri, &self.pin).map_err(|fault| fault.to_string())?;
        let signature = signature_of(&session, key, bytes).map_err(|error| error.to_string())?;
        *open = Some((session, key));
        self.checked(bytes, signature)
    }

    fn checked(&self, bytes: &[u8], signature: Vec<u8>) -> Result<Signature, String> {
        let signature: Signature = signature.try_into().map_err(|_| "its signature hasn't 64 bytes".to_owned())?;
        let holds = verify(&self.public, bytes, &signature);
        if holds { Ok(signature) } else { Err("its signature doesn't hold under its public key".to_owned()) }
    }
}

/// Opens a session in which the key signs.
fn session(module: &Pkcs11, uri: &TokenUri, pin: &AuthPin) -> Result<(Session, ObjectHandle), TokenFault> {
    let failed = |error| TokenFault::Token { token: uri.token.clone(), error };
    let slots = module.get_slots_with_token().map_err(failed)?;
    let labelled = |slot| module.get_token_info(slot).is_ok_and(|info| info.label().trim_end() == uri.token);
    let slot = slots.into_iter().find(|slot| labelled(*slot)).ok_or_else(|| TokenFault::NoToken(uri.token.clone()))?;
    let session = module.open_ro_session(slot).map_err(failed)?;
    match session.login(UserType::User, Some(pin)) {
        // Another session of this process has logged in.
        Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) => return Err(failed(error)),
    }
    let keys = session.find_objects(&template(ObjectClass::PRIVATE_KEY, uri)).map_err(failed)?;
    match keys[..] {
        [key] => Ok((session, key)),
        _ => {
            let (token, object, count) = (uri.token.clone(), uri.object.clone(), keys.len());
            Err(TokenFault::NotOne { token, object, count })
        }
    }
}

fn template(class: ObjectClass, uri: &TokenUri) -> [Attribute; 3] {
    let label = Attribute::Label(uri.object.clone().into_bytes());
    [Attribute::Class(class), Attribute::KeyType(KeyType::EC_EDWARDS), label]
}

/// Reads the public key: a point of 32 bytes, plain or as an OCTET STRING.
fn public_of(session: &Session, uri: &TokenUri) -> Result<PublicKey, TokenFault> {
    let failed = |error| TokenFault::Token { token: uri.token.clone(), error };
    let keys = session.find_objects(&template(ObjectClass::PUBLIC_KEY, uri)).map_err(failed)?;
    for key in keys {
        let found = session.get_attributes(key, &[AttributeType::EcPoint]).map_err(failed)?;
        if let Some(Attribute::EcPoint(point)) = found.first() {
            let point = point.strip_prefix(&[0x04, 0x20]).filter(|point| point.len() == 32).unwrap_or(point);
            if let Ok(public) = PublicKey::try_from(point) {
                return Ok(public);
            }
        }
    }
    Err(TokenFault::NoPublic(uri.token.clone()))
}

fn signature_of(session: &Session, key: ObjectHandle, bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
    session.sign(&Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)), key, bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_module_token_key_and_pin() {
        let uri = "pkcs11:token=main%20one;object=validator?module-path=/lib/m.so&pin-source=file:/etc/pin";
        let expected = TokenUri {
            module: "/lib/m.so".into(),
            token: "main one".to_owned(),
            object: "validator".to_owned(),
            pin_file: "/etc/pin".into(),
        };
        assert_eq!(TokenUri::parse(uri).unwrap(), expected);
        for wrong in [
            "unix:/run/signer.sock",
            "pkcs11:token=a;object=b?module-path=/m",
            "pkcs11:token=a;token=b;object=b?module-path=/m&pin-source=/p",
            "pkcs11:token=a;object=b?module-path=/m&pin-source=/p&pin-value=1",
            "pkcs11:token=%zz;object=b?module-path=/m&pin-source=/p",
            "pkcs11:token=%e;object=b?module-path=/m&pin-source=/p",
            "pkcs11:token;object=b?module-path=/m&pin-source=/p",
        ] {
            assert!(TokenUri::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let uri = "pkcs11:token=a;object=b?module-path=/nowhere/m.so&pin-source=/p";
        let fault = TokenKey::open(TokenUri::parse(uri).unwrap()).err().unwrap();
        assert!(fault.to_string().contains("/nowhere/m.so"), "{fault}");
    }
}
