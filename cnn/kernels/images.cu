// Images as they lie, or moved and mirrored at random: each another way each time it is seen, as `Augment` does.
//
// Constants: H W (an image), UPDOWN SIDEWAYS (how far it may move), MIRRORED (whether every other one may be), FILL
// (what comes in at the edge, the bits of a float).
constexpr bool MOVED = UPDOWN || SIDEWAYS || MIRRORED;

struct Move {
  int down = 0, across = 0, mirrored = 0;
  __device__ Move() {}
  // Image i of the batch in the step `offset` behind step[0]; the place, the step and the seed in step[2] decide.
  __device__ Move(int i, const int* step, int offset) {
    Drawn drawn = philox(i, u32(step[1] + step[0] + offset), u32(step[2]));
    down = int(__umulhi(drawn.number[0], 2 * UPDOWN + 1)) - UPDOWN;
    across = int(__umulhi(drawn.number[1], 2 * SIDEWAYS + 1)) - SIDEWAYS;
    mirrored = MIRRORED && drawn.number[2] >> 31;
  }
  // What is seen in row y and column `col` of `plane`, one channel of an image.
  __device__ float see(const float* plane, int y, int col) const {
    if (!MOVED) return plane[y * W + col];
    int row = y + down, from = (mirrored ? W - 1 - col : col) + across;
    return row >= 0 && row < H && from >= 0 && from < W ? plane[row * W + from] : __uint_as_float(u32(FILL));
  }
};

