// The way back, in blocks of three kinds that do not wait for each other; the constants are those of shallow.cu.
//
// The last layers' parameters are learned as head.cu says. A block of pixels works on a slice and a part of the images,
// BACK_SPLIT of them in tiles of BACK_TILE: the gradient by the pooled pixels, and from it its part of the filters'
// gradients. A block of weights works on a slice and a part of the hidden units, HID_SPLIT of them, for all images:
// Adam's step is where the gradient is made, so that no gradient of the dense weights lies in memory. The new weights
// go to `next`, for the blocks of pixels still need the old ones.

constexpr int WIDE = HID % 4 ? 1 : 4;        // hidden units that are read at once
constexpr int J4 = (HID + 3) / 4;            // fours of hidden units
constexpr int JS = J4 | 1;                   // a row of them in shared memory: odd, so no bank conflicts between rows
constexpr int QT = 8, QTILES = QP / QT;      // pooled pixels that one thread of a block of pixels works on
constexpr int QS = QP + 4;                   // row of them in shared memory: 16-byte reads, few bank conflicts
constexpr int BACK = THREADS / (BACK_TILE * QTILES), NJ = BACK < J4 ? BACK : J4;  // parts of the sum over hidden units
constexpr int UNITS = round_up((HID + HID_SPLIT - 1) / HID_SPLIT, 4);  // hidden units of a block of weights
constexpr int JQ = UNITS / 4, FOURS = QP / 4;                          // a thread has four of them, and four pixels
constexpr int NG = THREADS / (JQ * FOURS);                             // parts of the sum over images
constexpr int WPT = (QW * UNITS / WIDE + THREADS - 1) / THREADS;       // times WIDE dense weights a thread
static_assert(BACK > 0 && NG > 0, "a block has too few threads");

// Up to LINES lines of HID numbers, on their way from memory to lines of 4 · JS in shared memory, zeros behind them.
template <int LINES>
struct Lines {
  static constexpr int EACH = (LINES * J4 + THREADS - 1) / THREADS;
  float4 held[WIDE == 4 ? EACH : 1];

  __device__ void load(const float* in, int count) {
    if (WIDE < 4) return;
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      int e = threadIdx.x + k * THREADS;
      if (e < LINES * J4) held[k] = e < count * J4 ? ((const float4*)in)[e] : make_float4(0.f, 0.f, 0.f, 0.f);
    }
  }
  __device__ void store(float* out, const float* in, int count) const {
    if (WIDE < 4)
      for (int e = threadIdx.x; e < LINES * 4 * J4; e += THREADS) {
        int line = e / (4 * J4), j = e % (4 * J4);
        out[line * 4 * JS + j] = line < count && j < HID ? in[line * HID + j] : 0.f;
      }
    else
#pragma unroll
      for (int k = 0; k < EACH; k++) {
        int e = threadIdx.x + k * THREADS;
        if (e < LINES * J4) ((float4*)out)[e / J4 * JS + e % J4] = held[k];
      }
  }
};

__device__ inline void pixels(int block, const float* x, const int* images, const int* step, int offset, int batch,
                              int n, const u8* places, const float* dz1, const float* dense, float* sums) {
  float* scratch = (float*)SHARED;
  float *xs = scratch, *red = xs + round_up(BACK_TILE * IMAGE, 4), *ws = red + NJ * BACK_TILE * QS;
  float *dzs = ws + QP * 4 * JS, *gs = dzs + BACK_TILE * 4 * JS;
  int* spots = (int*)(gs + BACK_TILE * QW);
  Seen* seen = (Seen*)(spots + BACK_TILE * QW);
  const int slice = block % SLICES, r = slice % QH, split = block / SLICES, t = threadIdx.x, lane = t % 32;

  // In the pixels' gradient a thread has an image, QT pixels and a part of the hidden units; in the filters' a warp has
  // some of the taps.
  const int i2 = t % BACK_TILE, qt = t / BACK_TILE % QTILES, part = t / (BACK_TILE * QTILES);
  constexpr int SHARE = (TAPS + WARPS) / WARPS, SPOTS = (BACK_TILE * QW + THREADS - 1) / THREADS;
  const float* own = dense + (size_t)slice * QW * HID;
  float taps[SHARE] = {};
  int place[SPOTS];
  Lines<QP> weight;
  Lines<BACK_TILE> delta;
  Rows<BACK_TILE> rows;
  int first = split * BACK_TILE;
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
  weight.load(own, QW);
  bring();
  follow();
  delta.load(dz1 + (size_t)first * HID, min(BACK_TILE, n - first));
  Rows<BACK_TILE>::clear(xs, r);
  weight.store(ws, own, QW);
  while (first < n) {
    const int count = min(BACK_TILE, n - first);
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS;
      if (e < count * QW)
        spots[e] = place[k] == NOWHERE ? -1 : e / QW * IMAGE + place[k] / P * LINE + P * (e % QW) + place[k] % P;
    }
    delta.store(dzs, dz1 + (size_t)first * HID, count);
    __syncthreads();
    if (i2 < count && part < NJ) {
      float dp[QT] = {};
      const float4 *d = (const float4*)dzs + i2 * JS, *weight = (const float4*)ws + qt * QT * JS;
#pragma unroll 1
      for (int j = part; j < J4; j += NJ) {
        const float4 four = d[j];
#pragma unroll
        for (int q = 0; q < QT; q++) {
          float4 w = weight[q * JS + j];
          dp[q] += four.x * w.x + four.y * w.y + four.z * w.z + four.w * w.w;
        }
      }
#pragma unroll
      for (int q = 0; q < QT; q += 4)
        *(float4*)(red + (part * BACK_TILE + i2) * QS + qt * QT + q) = make_float4(dp[q], dp[q + 1], dp[q + 2], dp[q + 3]);
    }
    rows.store(xs, x, seen, count, r);
    __syncthreads();
    for (int e = t; e < count * QW; e += THREADS) {
      float g = 0.f;
#pragma unroll
      for (int k = 0; k < NJ; k++) g += red[(k * BACK_TILE + e / QW) * QS + e % QW];
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
    delta.load(dz1 + (size_t)first * HID, min(BACK_TILE, n - first));
  }
#pragma unroll
  for (int s = 0; s < SHARE; s++) {
    const int k = t / 32 + s * WARPS;
    if (k > TAPS) continue;
    float sum = warp_sum(taps[s]);
    if (lane == 0) sums[(size_t)(slice / QH * (TAPS + 1) + k) * SUMMED + r * BACK_SPLIT + split] = sum;
  }
}

// WIDE numbers at once.
struct Wide {
  alignas(4 * WIDE) float at[WIDE];
  __device__ void load(const float* from) { *this = *(const Wide*)from; }
  __device__ void store(float* to) const { *(Wide*)to = *this; }
};

__device__ inline void weights(int block, int batch, int n, const float* rates, const float* pooled, const float* dz1,
                               const float* dense, float* next, float* md, float* vd) {
  float* scratch = (float*)SHARED;
  const int slice = block / HID_SPLIT, from = block % HID_SPLIT * UNITS;
  const int t = threadIdx.x, jq = t % JQ, qt = t / JQ % FOURS, part = t / (JQ * FOURS);
  const size_t base = (size_t)slice * QW * HID + from;  // of the block's weights, which lie there as (q, j)
  Wide w[WPT], mw[WPT], vw[WPT];                        // needed last, fetched first
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = (t + k * THREADS) * WIDE;
    size_t at = base + e / UNITS * HID + e % UNITS;
    if (e < QW * UNITS && from + e % UNITS < HID) w[k].load(dense + at), mw[k].load(md + at), vw[k].load(vd + at);
  }
  follow();
  if (part < NG) {
    float dw[4][4] = {};  // by pixel and unit
    const float *p = pooled + (size_t)slice * batch * QP + qt * 4, *d = dz1 + from;
    const int j = WIDE == 4 ? min(jq * 4, HID - 4 - from) : jq * 4;
#pragma unroll 4
    for (int i = part; i < n; i += NG) {
      const float4 pixel = *(const float4*)(p + i * QP);
      const float pixels[4] = {pixel.x, pixel.y, pixel.z, pixel.w};
      float delta[4];
      if (WIDE == 4) {
        const float4 four = *(const float4*)(d + i * HID + j);
        delta[0] = four.x, delta[1] = four.y, delta[2] = four.z, delta[3] = four.w;
      } else
        for (int k = 0; k < 4; k++) delta[k] = d[i * HID + min(j + k, HID - 1 - from)];
#pragma unroll
      for (int q = 0; q < 4; q++)
#pragma unroll
        for (int k = 0; k < 4; k++) dw[q][k] += pixels[q] * delta[k];
    }
#pragma unroll
    for (int q = 0; q < 4; q++)
      *(float4*)(scratch + (part * QP + qt * 4 + q) * UNITS + jq * 4) = make_float4(dw[q][0], dw[q][1], dw[q][2], dw[q][3]);
  }
  const Adam adam(rates + (LAYERS - 2) * NUMBERS);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = (t + k * THREADS) * WIDE;
    if (e >= QW * UNITS || from + e % UNITS >= HID) continue;
    float g[WIDE] = {};
#pragma unroll
    for (int p = 0; p < NG; p++) {
      Wide part;
      part.load(scratch + p * QP * UNITS + e);
#pragma unroll
      for (int s = 0; s < WIDE; s++) g[s] += part.at[s];
    }
#pragma unroll
    for (int s = 0; s < WIDE; s++) adam.step(g[s], w[k].at[s], mw[k].at[s], vw[k].at[s]);
    size_t at = base + e / UNITS * HID + e % UNITS;
    w[k].store(next + at), mw[k].store(md + at), vw[k].store(vd + at);
  }
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
  if (BRING_NEAR) bring_near(block, x, following, n);
}
