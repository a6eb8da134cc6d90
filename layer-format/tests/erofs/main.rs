//! erofs layers: recorded root hashes, images against those of `mkfs.erofs`, what the kernel reads from them, archives
//! that are refused.
#![cfg(feature = "build")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![expect(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "sizes in tests are small")]
#![expect(clippy::disallowed_methods, reason = "mkfs.erofs and mount are programs")]

mod archives;
mod kernel;
mod mkfs;
mod refused;

use std::io::Cursor;

use layer_format::layer::{
    BuildLayerError, Footer, LayerImage, MkfsVersion, hash_erofs_layer, write_erofs_layer,
};
use layer_format::verity::{BLOCK_SIZE, VeritySuperblock};

/// A UUID as a layer might have.
const UUID: [u8; 16] = *b"\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8";
/// The same as text.
const UUID_TEXT: &str = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";

/// Root hashes of images made by mkfs.erofs 1.8.10 and 1.9.3 of the archives that `archives::samples` makes.
const RECORDED: [(&str, &str, &str); 11] = [
    (
        "empty",
        "fc0e5e6eb317cf2d649c818547604881ffd27449b42bca1087b5ac811b35354d",
        "fc0e5e6eb317cf2d649c818547604881ffd27449b42bca1087b5ac811b35354d",
    ),
    (
        "kinds",
        "07e8c5dd742dbdb9fb7bc7c3b284657dbd02fabd4d511c9218373efaa1cfae70",
        "dd70db0101289de4851c86a3ad30ad3c4a7b93557344b02cd10b2f2563c7fc6e",
    ),
    (
        "whiteouts",
        "a8b6573ba747b30908a85482c8157d2e9431aae2bbd888f58bfeee8c9bebeaf2",
        "df9e78ba94d71bde188891f829256b338eba5fc7e39eef5e64570206c455ff22",
    ),
    (
        "missing-parents",
        "267141261c260e25d4de81c9bb99c7ab9c04844f87d45cb32503bb9defd5d19c",
        "267141261c260e25d4de81c9bb99c7ab9c04844f87d45cb32503bb9defd5d19c",
    ),
    (
        "duplicates",
        "954f2c3ce0545f16bf3935f666481989a64823b8054aff458b0926aa57410045",
        "954f2c3ce0545f16bf3935f666481989a64823b8054aff458b0926aa57410045",
    ),
    (
        "large-directories",
        "eb6e1836ead0ae8c27ab9f8d0f6a4f3932c95822309c0f2138d5c92ec7c25391",
        "eb6e1836ead0ae8c27ab9f8d0f6a4f3932c95822309c0f2138d5c92ec7c25391",
    ),
    (
        "root-behind-data",
        "0c0c3ce006e3b7a393be34988d3d3207343e089bbcad72c213c8b7c9ecef32fa",
        "0c0c3ce006e3b7a393be34988d3d3207343e089bbcad72c213c8b7c9ecef32fa",
    ),
    (
        "fractions",
        "0451654331d403c7eacec075efa2a12600da6217a502abdcb2dd68d0bb1d1316",
        "99a887792497b7ccf2745483666f8a9e101e87ae72be75a3d06f6ddbddc24fed",
    ),
    (
        "random-50",
        "c379402e3732ad9668038857808dc52bc1bfd50aae8237af23e8bb25180ecfb8",
        "e7591f1910b6d77bfa3ad230ab11fe065d8776f28b4294b074dc21607196b16e",
    ),
    (
        "random-400",
        "aa0aa5e41edaaeb6e2bfd0b5b7632aff520455c9d4ae2ee7cb3777aa83e79dd5",
        "92fe35314c4ce46206bc431eb282381ad503810bec50133631d59dbe592cd37b",
    ),
    (
        "random-1000",
        "bf2ea95186435422700b5a6da9e70c34d0fac4dab0837d270617fc8357ceda05",
        "461baca40f87bbfcbd9d1b673d2752d83ecdd6237f2428ae6fc5bfd0354ee2b7",
    ),
];

fn image_of(archive: &[u8], version: MkfsVersion) -> Result<(Vec<u8>, LayerImage), BuildLayerError> {
    let mut image = Cursor::new(Vec::new());
    let described = write_erofs_layer(archive, &mut image, Footer::None, version, || Ok(UUID))?;
    Ok((image.into_inner(), described))
}

#[test]
fn root_hashes_are_those_of_images_that_mkfs_made() {
    let samples = archives::samples();
    assert_eq!(samples.len(), RECORDED.len());
    for ((name, archive), (recorded, old, new)) in samples.iter().zip(RECORDED) {
        let hash =
            |version| hash_erofs_layer(&archive[..], version, || Ok(UUID)).unwrap().root_hash.to_string();
        assert_eq!(*name, recorded);
        assert_eq!(
            (hash(MkfsVersion::V1_8), hash(MkfsVersion::V1_9_3)),
            (old.to_owned(), new.to_owned()),
            "{name}"
        );
    }
}

#[test]
fn hash_and_image_agree_and_the_tree_is_behind_the_file_system() {
    for (name, archive) in archives::samples() {
        let (image, described) = image_of(&archive, MkfsVersion::V1_9_3).unwrap();
        let hashed = hash_erofs_layer(&archive[..], MkfsVersion::V1_9_3, || Ok(UUID)).unwrap();
        assert_eq!(hashed, described.digest, "{name}");
        assert_eq!(image.len() as u64, described.image_size_bytes);
        let data_size = usize::try_from(described.digest.data_size_bytes).unwrap();
        let superblock = VeritySuperblock::parse(&image[data_size..]).unwrap();
        assert_eq!(superblock.data_blocks(), described.data_blocks);
        assert_eq!(superblock.salt().as_bytes(), [0; 32]);
        assert_eq!(described.data_blocks * BLOCK_SIZE as u64, described.digest.data_size_bytes);
    }
}

#[test]
fn another_uuid_is_another_layer() {
    let archive = archives::archive(&archives::kinds());
    let hash = |uuid| hash_erofs_layer(&archive[..], MkfsVersion::V1_9_3, || Ok(uuid)).unwrap().root_hash;
    assert_ne!(hash(UUID), hash([0; 16]));
}
