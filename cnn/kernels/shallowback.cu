// The way back, in blocks of three kinds that do not wait for each other; the constants are those of shallow.cu.
//
// The last layers' parameters are learned as head.cu says. A block of pixels works on a slice and a part of the images,
// BACK_SPLIT of them in tiles of BACK_TILE: the gradient by the pooled pixels, and from it its part of the filters'
// gradients. A warp of a block of weights works on a slice and EIGHTS eights of hidden units, for all images: Adam's step
// is where the gradient is made, so that no gradient of the dense weights lies in memory. The new weights go to `next`,
// for the blocks of pixels still need the old ones.

constexpr int TILES = (BACK_TILE + 15) / 16;          // sixteens of images, one a warp at a time
constexpr int SIXTEENS = (HID + 15) / 16;             // of hidden units,
constexpr int SHARED_BY = TILES < WARPS ? WARPS / TILES : 1;  // over so many warps
constexpr int COPIES = SHARED_BY < SIXTEENS ? SHARED_BY : SIXTEENS;
constexpr int ACROSS_HID = ((HID + 7) / 8 + EIGHTS - 1) / EIGHTS;  // warps for a slice's weights

// Four numbers from place j on of a row of HID; zeros behind its end.
__device__ inline float4 four(const float* row, int j) {
  if (HID % 4 == 0) return j < HID ? *(const float4*)(row + j) : make_float4(0.f, 0.f, 0.f, 0.f);
  return make_float4(j < HID ? row[j] : 0.f, j + 1 < HID ? row[j + 1] : 0.f, j + 2 < HID ? row[j + 2] : 0.f,
                     j + 3 < HID ? row[j + 3] : 0.f);
}

__device__ inline void pixels(int block, const float* x, const int* images, const int* step, int offset, int batch,
                              int n, const u8* places, const float* dz1, const float* dense, float* sums) {
  float *xs = (float*)SHARED, *red = xs + round_up(BACK_TILE * IMAGE, 4), *gs = red + COPIES * BACK_TILE * QS;
  int* spots = (int*)(gs + BACK_TILE * QW);
  Seen* seen = (Seen*)(spots + BACK_TILE * QW);
  const int slice = block % SLICES, r = slice % QH, piece = block / SLICES, t = threadIdx.x, lane = t % 32;
  const int g = lane / 4, u = lane % 4, copy = t / 32 / TILES;

  // In the filters' gradient a warp has some of the taps.
  constexpr int SHARE = (TAPS + WARPS) / WARPS, SPOTS = (BACK_TILE * QW + THREADS - 1) / THREADS;
  float taps[SHARE] = {};
  int place[SPOTS];
  Rows<BACK_TILE> rows;
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
    rows.load(x, seen, count, r);
  };
  bring();
  follow();
  Rows<BACK_TILE>::clear(xs, r);
  while (first < n) {
    const int count = min(BACK_TILE, n - first);
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS;
      if (e < count * QW)
        spots[e] = place[k] == NOWHERE ? -1 : e / QW * IMAGE + place[k] / P * LINE + P * (e % QW) + place[k] % P;
    }
    // (image, unit) · (unit, pixel). The order of units is free in a sum: a lane reads four beside each other, the first
    // two for one product, the others for the next.
    for (int m = t / 32 % TILES * 16; copy < COPIES && m < count; m += larger(WARPS, TILES) * 16) {
      const float *low = dz1 + (size_t)(first + min(m + g, count - 1)) * HID;
      const float *high = dz1 + (size_t)(first + min(m + g + 8, count - 1)) * HID;
      float sum[QP / 8][4] = {};
#pragma unroll 1
      for (int j = copy * 16 + 4 * u; j < SIXTEENS * 16; j += COPIES * 16) {
        const float4 a = four(low, j), b = four(high, j);
        const Cut<4> front([&](int s) { return s == 0 ? a.x : s == 1 ? b.x : s == 2 ? a.y : b.y; });
        const Cut<4> back([&](int s) { return s == 0 ? a.z : s == 1 ? b.z : s == 2 ? a.w : b.w; });
#pragma unroll
        for (int c = 0; c < QP / 8; c++) {
          const float4 w = four(dense + (size_t)(slice * QW + min(c * 8 + g, QW - 1)) * HID, j);
          multiply_add(sum[c], front, Cut<2>([&](int s) { return s ? w.y : w.x; }));
          multiply_add(sum[c], back, Cut<2>([&](int s) { return s ? w.w : w.z; }));
        }
      }
#pragma unroll
      for (int c = 0; c < QP / 8 * 2; c++) {
        const int i = m + g + c % 2 * 8, s = c % 2 * 2;
        if (i < count)
          *(float2*)(red + (copy * BACK_TILE + i) * QS + c / 2 * 8 + 2 * u) = make_float2(sum[c / 2][s], sum[c / 2][s + 1]);
      }
    }
    rows.store(xs, x, seen, count, r);
    __syncthreads();
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
#pragma unroll 4
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
#pragma unroll 2
  for (int i = u; i < round_up(n, 8); i += 8) {
    const float* row = pooled + ((size_t)slice * batch + i) * QP + g;
    Cut<2> delta[EIGHTS];
#pragma unroll
    for (int c = 0; c < EIGHTS; c++) {
      const int j = from + c * 8 + g;
      delta[c] = Cut<2>([&](int s) { return i + s * 4 < n && j < HID ? dz1[(i + s * 4) * HID + j] : 0.f; });
    }
#pragma unroll
    for (int k = 0; k < HIGH; k++) {
      const Cut<4> pixel([&](int s) { return i + s / 2 * 4 < n ? row[s / 2 * 4 * QP + k * 16 + s % 2 * 8] : 0.f; });
#pragma unroll
      for (int c = 0; c < EIGHTS; c++) multiply_add(sum[k * EIGHTS + c], pixel, delta[c]);
    }
  }
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

extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
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
