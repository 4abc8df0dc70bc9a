//! The Merkle tree hash of RFC 6962, section 2.1, computed leaf by leaf.

use sha2::{Digest, Sha256};
use std::vec::Vec;

/// A node's hash.
pub type Hash = [u8; 32];

pub(super) fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree of which only the right edge is kept: the roots of its complete subtrees, largest first. Enough to
/// go on appending and to say the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier that [`to_bytes`](Self::to_bytes) wrote for a tree of this size; none if it is not one.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (peaks, rest) = bytes.as_chunks::<32>();
        (rest.is_empty() && peaks.len() == size.count_ones() as usize)
            .then(|| Self { size, peaks: peaks.to_vec() })
    }

    /// Its peaks, one after another.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.peaks.concat()
    }

    /// Leaves so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn append(&mut self, leaf: Hash) {
        // Each trailing one bit of the size is a complete subtree that the new one completes in turn.
        let mut subtree = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                subtree = node_hash(&left, &subtree);
            }
        }
        self.peaks.push(subtree);
        self.size += 1;
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::{Frontier, Hash, leaf_hash, node_hash};
    use crate::encoding::{hex_decode, hex_encode};
    use proptest::prelude::{prop_assert_eq, proptest};
    use sha2::{Digest, Sha256};
    use std::vec::Vec;

    /// RFC 6962's definition, word for word: the largest power of two below the size splits the leaves.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(
            hex_encode(&frontier.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (leaf, root) in leaves.into_iter().zip(roots) {
            frontier.append(leaf_hash(&hex_decode(leaf).unwrap()));
            assert_eq!(hex_encode(&frontier.root()), root);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_tree_of_the_definition_and_survives_being_stored(count in 0_usize..200, cut in 0_usize..200) {
            let leaves: Vec<Hash> = (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect();
            let mut frontier = Frontier::default();
            for (at, leaf) in leaves.iter().enumerate() {
                if at == cut {
                    frontier = Frontier::from_bytes(frontier.size(), &frontier.to_bytes()).unwrap();
                }
                frontier.append(*leaf);
            }
            prop_assert_eq!(frontier.root(), defined(&leaves));
            prop_assert_eq!(frontier.size(), count as u64);
        }
    }

    #[test]
    fn a_frontier_of_another_size_is_none() {
        let mut frontier = Frontier::default();
        (0..3).for_each(|_| frontier.append([7; 32]));
        assert_eq!(Frontier::from_bytes(4, &frontier.to_bytes()), None);
        assert_eq!(Frontier::from_bytes(3, &frontier.to_bytes()[1..]), None);
    }
}
