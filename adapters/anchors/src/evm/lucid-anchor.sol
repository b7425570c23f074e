// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Digests and the time of the block in which each was first seen. Nobody owns it, nothing can be changed or removed.
contract LucidAnchor {
    event Anchored(bytes32 indexed digest, uint256 time);

    /// Seconds since 1970; 0: never anchored. Slot 0: proofs of it are checked by packages/evidence/src/anchor/evm.ts.
    mapping(bytes32 => uint256) public anchoredAt;

    /// The first call for a digest counts; a second one changes nothing, so sending twice is harmless.
    function anchor(bytes32 digest) external {
        if (anchoredAt[digest] != 0) return;
        anchoredAt[digest] = block.timestamp;
        emit Anchored(digest, block.timestamp);
    }
}
