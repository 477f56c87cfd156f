// Masks in the highest byte of targets, where something was pasted. The network sees NORMAL as 0:
// it only says that the place counts for the loss.
const ABNORMAL: u32 = 255u;
const NORMAL: u32 = 1u;
