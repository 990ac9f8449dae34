// The way back, in blocks of three kinds that do not wait for each other; the constants are those of shallow.cu.
//
// The last layers' parameters are learned as head.cu says. A block of pixels works on a slice and a part of the images,
// BACK_SPLIT of them in tiles of BACK_TILE: the gradient by the pooled pixels, and from it its part of the filters'
// gradients. A warp of a block of weights works on a slice and EIGHTS eights of hidden units, for all images: Adam's step
// is where the gradient is made, so that no gradient of the dense weights lies in memory. The new weights go to `next`,
// for the blocks of pixels still need the old ones.

constexpr int TILES = (BACK_TILE + 15) / 16;  // sixteens of images,
constexpr int SIXTEENS = (HID + 15) / 16;     // and of hidden units, over so many warps
constexpr int COPIES = WARPS / TILES < SIXTEENS ? WARPS / TILES : SIXTEENS;
static_assert(COPIES > 0, "a tile has more images than the warps of a block");
constexpr int ACROSS_HID = ((HID + 7) / 8 + EIGHTS - 1) / EIGHTS;  // warps for a slice's weights

constexpr int HS = (SIXTEENS | 1) * 16;  // a row of hidden units in shared memory: no bank conflicts

// `count` rows of HID numbers to rows of HS with zeros behind them; on their way until `arrived`.
__device__ inline void rows(float* out, const float* in, int count) {
  constexpr int FOURS = HS / 4;
  for (int e = threadIdx.x; e < count * FOURS; e += THREADS) {
    const int j = e % FOURS * 4;
    float* to = out + e * 4;
    const float* from = in + e / FOURS * HID + j;
    if (HID % 4 == 0 && j < HID)
      fetch(to, from);
    else
      for (int s = 0; s < 4; s++) to[s] = j + s < HID ? from[s] : 0.f;
  }
}

__device__ inline void pixels(int block, const float* x, const int* images, const int* step, int offset, int batch,
                              int n, const u8* places, const float* dz1, const float* dense, float* sums) {
  float *xs = (float*)SHARED, *ws = xs + BACK_TILE * IMAGE, *dzs = ws + QW * HS;
  float *red = dzs, *gs = red + COPIES * BACK_TILE * QS;  // by turns
  int* spots = (int*)(dzs + BACK_TILE * larger(HS, COPIES * QS + QW));
  Seen* seen = (Seen*)(spots + BACK_TILE * QW);
  const int slice = block % SLICES, r = slice % QH, piece = block / SLICES, t = threadIdx.x, lane = t % 32;
  const int g = lane / 4, u = lane % 4, copy = t / 32 / TILES;

  // In the filters' gradient a warp has some of the taps.
  constexpr int SHARE = (TAPS + WARPS) / WARPS, SPOTS = (BACK_TILE * QW + THREADS - 1) / THREADS;
  float taps[SHARE] = {};
  int place[SPOTS];
  int first = piece * BACK_TILE;
  auto bring = [&]() {
    const int count = min(BACK_TILE, n - first);
    if (t < count) seen[t] = Seen(images, first + t, step, offset);
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS;
      if (e < count * QW) place[k] = places[((size_t)slice * batch + first + e / QW) * QP + e % QW];
    }
    __syncthreads();
    gather(xs, x, seen, count, r);
  };
  rows(ws, dense + (size_t)slice * QW * HID, QW);
  bring();
  clear<BACK_TILE>(xs, r);
  follow();
  while (first < n) {
    const int count = min(BACK_TILE, n - first);
    rows(dzs, dz1 + (size_t)first * HID, count);
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS;
      if (e < count * QW)
        spots[e] = place[k] == NOWHERE ? -1 : e / QW * IMAGE + place[k] / P * LINE + LEAD + P * (e % QW) + place[k] % P;
    }
    arrived();
    __syncthreads();
    // (image, unit) · (unit, pixel). The order of units is free in a sum: a lane reads four beside each other, the first
    // two for one product, the others for the next.
    const int m = t / 32 % TILES * 16;
    const bool busy = copy < COPIES && m < count;
    float sum[QP / 8][4] = {};
    if (busy) {
      const float *low = dzs + min(m + g, count - 1) * HS + 4 * u, *high = dzs + min(m + g + 8, count - 1) * HS + 4 * u;
#pragma unroll 1
      for (int j = copy * 16; j < SIXTEENS * 16; j += COPIES * 16) {
        const float4 a = *(const float4*)(low + j), b = *(const float4*)(high + j);
        const Cut<4> front([&](int s) { return s == 0 ? a.x : s == 1 ? b.x : s == 2 ? a.y : b.y; });
        const Cut<4> back([&](int s) { return s == 0 ? a.z : s == 1 ? b.z : s == 2 ? a.w : b.w; });
#pragma unroll
        for (int c = 0; c < QP / 8; c++) {
          const float4 w = *(const float4*)(ws + min(c * 8 + g, QW - 1) * HS + 4 * u + j);
          multiply_add(sum[c], front, Cut<2>([&](int s) { return s ? w.y : w.x; }));
          multiply_add(sum[c], back, Cut<2>([&](int s) { return s ? w.w : w.z; }));
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int c = 0; c < QP / 8 * 2; c++) {
      const int i = m + g + c % 2 * 8, s = c % 2 * 2;
      if (busy && i < count)
        *(float2*)(red + (copy * BACK_TILE + i) * QS + c / 2 * 8 + 2 * u) = make_float2(sum[c / 2][s], sum[c / 2][s + 1]);
    }
    __syncthreads();
#pragma unroll 1
    for (int e = t; e < count * QW; e += THREADS) {
      float g = 0.f;
#pragma unroll
      for (int k = 0; k < COPIES; k++) g += red[(k * BACK_TILE + e / QW) * QS + e % QW];
      gs[e] = spots[e] < 0 ? 0.f : g;
    }
    __syncthreads();
#pragma unroll
    for (int s = 0; s < SHARE; s++) {
      const int k = t / 32 + s * WARPS, behind = (k / (KH * KW) * ROWS + k / KW % KH) * LINE + k % KW;
      if (k > TAPS) continue;
#pragma unroll 2
      for (int e = lane; e < count * QW; e += 32) taps[s] += k < TAPS ? gs[e] * xs[max(spots[e], 0) + behind] : gs[e];
    }
    first += BACK_SPLIT * BACK_TILE;
    if (first >= n) break;
    __syncthreads();
    bring();
  }
#pragma unroll
  for (int s = 0; s < SHARE; s++) {
    const int k = t / 32 + s * WARPS;
    if (k > TAPS) continue;
    float sum = warp_sum(taps[s]);
    if (lane == 0) sums[(size_t)(slice / QH * (TAPS + 1) + k) * SUMMED + r * BACK_SPLIT + piece] = sum;
  }
}

__device__ inline void weights(int block, int batch, int n, const float* rates, const float* pooled, const float* dz1,
                               const float* dense, float* next, float* md, float* vd) {
  const int task = block * WARPS + threadIdx.x / 32, slice = task / ACROSS_HID, from = task % ACROSS_HID * EIGHTS * 8;
  const int lane = threadIdx.x % 32, g = lane / 4, u = lane % 4;
  if (slice >= SLICES) {
    follow();
    return;
  }
  // (pixel, image) · (image, unit): of the sums a lane has pixels g and g + 8, and units 2 u and 2 u + 1.
  constexpr int HIGH = QP / 16, HELD = HIGH * EIGHTS * 2;
  float w[HELD][2], mw[HELD][2], vw[HELD][2];  // needed last, fetched first
  auto with = [&](auto work) {
#pragma unroll
    for (int k = 0; k < HELD; k++) {
      const int q = k / (2 * EIGHTS) * 16 + g + k % 2 * 8, j = from + k / 2 % EIGHTS * 8 + 2 * u;
      if (q < QW && j < HID) work(k, (slice * QW + q) * HID + j, HID - j);
    }
  };
  with([&](int k, int at, int there) {
    get_two(w[k], dense + at, there), get_two(mw[k], md + at, there), get_two(vw[k], vd + at, there);
  });
  follow();
  float sum[HIGH * EIGHTS][4] = {};
  const float *row = pooled + ((size_t)slice * batch + u) * QP + g, *back = dz1 + u * HID + from + g;
  auto add = [&](int there) {  // the next eight images, of which so many are there
    Cut<2> delta[EIGHTS];
#pragma unroll
    for (int c = 0; c < EIGHTS; c++)
      delta[c] = Cut<2>([&](int s) { return u + s * 4 < there && from + c * 8 + g < HID ? back[s * 4 * HID + c * 8] : 0.f; });
#pragma unroll
    for (int k = 0; k < HIGH; k++) {
      const Cut<4> pixel([&](int s) { return u + s / 2 * 4 < there ? row[s / 2 * 4 * QP + k * 16 + s % 2 * 8] : 0.f; });
#pragma unroll
      for (int c = 0; c < EIGHTS; c++) multiply_add(sum[k * EIGHTS + c], pixel, delta[c]);
    }
    row += 8 * QP, back += 8 * HID;
  };
  int i = 0;
#pragma unroll 4
  for (; i + 8 <= n; i += 8) add(8);
  if (i < n) add(n - i);
  const Adam adam(rates + (LAYERS - 2) * NUMBERS);
  with([&](int k, int at, int there) {
#pragma unroll
    for (int s = 0; s < 2; s++) adam.step(sum[k / 2][k % 2 * 2 + s], w[k][s], mw[k][s], vw[k][s]);
    put_two(next + at, w[k], there), put_two(md + at, mw[k], there), put_two(vd + at, vw[k], there);
  });
}

// The images of the next batch, whose places are known, come from memory to the second-level cache.
__device__ inline void bring_near(int block, const float* x, const int* following, int n) {
  constexpr int SIZE = C * H * W, LINES = (SIZE + 31) / 32;
  const int e = block * THREADS + threadIdx.x;
  if (e < n * LINES) prefetch(x + (size_t)following[e / LINES] * SIZE + e % LINES * 32);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1024 / THREADS)
shallow_backward(const float* x, const int* images, const int* step, int offset, int batch, int n, const float* table,
                 const int* following, const float* pooled, const u8* places, const float* hidden, const float* dz2,
                 const float* dz1, float* sums, const float* dense, float* next, float* md, float* vd, float* b1,
                 float* mb1, float* vb1, float* W2, float* mW2, float* vW2, float* b2, float* mb2, float* vb2) {
  constexpr int REST_BLOCKS = (REST + REST_A_BLOCK - 1) / REST_A_BLOCK, PIXELS = SLICES * BACK_SPLIT;
  const float* rates = table + (size_t)(*step + offset) * LAYERS * NUMBERS;
  int block = blockIdx.x;
  if (block < REST_BLOCKS) {
    follow();
    learn_rest(block, n, hidden, dz2, dz1, rates, W2, mW2, vW2, b2, mb2, vb2, b1, mb1, vb1);
    return;
  }
  block -= REST_BLOCKS;
  if (block < PIXELS) {
    pixels(block, x, images, step, offset, batch, n, places, dz1, dense, sums);
    return;
  }
  block -= PIXELS;
  weights(block, batch, n, rates, pooled, dz1, dense, next, md, vd);
  bring_near(block, x, following, n);
}
