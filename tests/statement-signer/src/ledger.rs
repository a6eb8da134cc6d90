use sha2::{Digest as _, Sha256};

use crate::cbor::Cbor;
use crate::key::Key;
use crate::statement::sign1_over;

/// A ledger that registers whatever it is given.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Its name.
    pub name: String,
    /// The identifier of its key.
    pub key_id: Vec<u8>,
    /// Its key.
    pub key: Key,
}

impl Ledger {
    /// A receipt for an envelope without unprotected headers. Its leaf has a neighbour to the left, and above that one to
    /// the right.
    #[must_use]
    pub fn receipt(&self, envelope: &[u8]) -> Vec<u8> {
        let (transaction, evidence) = ([1; 32], "ce:2.1:aa");
        let statement: [u8; 32] = Sha256::digest(envelope).into();
        let evidence_hash: [u8; 32] = Sha256::digest(evidence).into();
        let leaf = Sha256::digest([transaction, evidence_hash, statement].concat());
        let (left, right) = ([3; 32], [4; 32]);
        let above = Sha256::digest([left, leaf.into()].concat());
        let root = Sha256::digest([above.into(), right].concat());
        let step = |is_left: bool, hash: [u8; 32]| {
            Cbor::Array(vec![Cbor::Bool(is_left), Cbor::Bytes(hash.to_vec())])
        };
        let leaf = vec![Cbor::Bytes(transaction.to_vec()), evidence.into(), Cbor::Bytes(statement.to_vec())];
        let proof = Cbor::Map(vec![
            (Cbor::Int(1), Cbor::Array(leaf)),
            (Cbor::Int(2), Cbor::Array(vec![step(true, left), step(false, right)])),
        ]);
        let proofs = Cbor::Array(vec![Cbor::Bytes(proof.encode())]);
        let protected = vec![
            (Cbor::Int(1), Cbor::Int(self.key.curve().cose_algorithm())),
            (Cbor::Int(4), Cbor::Bytes(self.key_id.clone())),
            (Cbor::Int(15), Cbor::Map(vec![(Cbor::Int(1), self.name.as_str().into())])),
            (Cbor::Int(395), Cbor::Int(2)),
        ];
        let unprotected = vec![(Cbor::Int(396), Cbor::Map(vec![(Cbor::Int(-1), proofs)]))];
        sign1_over(&protected, unprotected, Cbor::Null, &root, &self.key)
    }

    /// Its key as a `COSE_Key`.
    #[must_use]
    pub fn cose_key(&self) -> Cbor {
        let point = self.key.point();
        let coordinates = point.get(1..).unwrap_or_default();
        let (x, y) = coordinates.split_at_checked(coordinates.len() / 2).unwrap_or_default();
        Cbor::Map(vec![
            (Cbor::Int(1), Cbor::Int(2)),
            (Cbor::Int(2), Cbor::Bytes(self.key_id.clone())),
            (Cbor::Int(-1), Cbor::Int(self.key.curve().cose_curve())),
            (Cbor::Int(-2), Cbor::Bytes(x.to_vec())),
            (Cbor::Int(-3), Cbor::Bytes(y.to_vec())),
        ])
    }
}

/// The payload of a trust list of these ledgers.
#[must_use]
pub fn trust_list(ledgers: &[Ledger]) -> Vec<u8> {
    let entry = |ledger: &Ledger| {
        let keys = Cbor::Array(vec![ledger.cose_key()]);
        (ledger.name.as_str().into(), Cbor::Map(vec![(Cbor::Int(1), keys)]))
    };
    Cbor::Map(ledgers.iter().map(entry).collect()).encode()
}
