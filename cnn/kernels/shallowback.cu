// The way back, in blocks of three kinds that do not wait for each other; the constants are those of shallow.cu.
//
// The last layers' parameters are learned as head.cu says. A block of pixels works on a slice and a part of the images,
// BACK_SPLIT of them in tiles of BACK_TILE: the gradient by the pooled pixels, and from it its part of the filters'
// gradients. A block of weights works on a slice and a part of the hidden units, HID_SPLIT of them, for all images:
// Adam's step is where the gradient is made, so that no gradient of the dense weights lies in memory. The new weights
// go to `next`, for the blocks of pixels still need the old ones.

constexpr int QS = QP + 4;          // row in shared memory: 16-byte reads, few bank conflicts
constexpr int HP = HID | 1;         // odd: no bank conflicts from image to image
constexpr int QT = 8, QTILES = QP / QT;  // pooled pixels that one thread of a block of pixels works on
constexpr int NJ = THREADS / (BACK_TILE * QTILES);  // parts of the sum over hidden units
constexpr int UNITS = (HID + HID_SPLIT - 1) / HID_SPLIT;  // hidden units of a block of weights,
constexpr int JQ = (UNITS + 3) / 4, JS = 4 * JQ;          // four a thread: j, j + JQ, …
constexpr int FOURS = QP / 4;                             // and four pixels
constexpr int NG = THREADS / (JQ * FOURS);                // parts of the sum over images
constexpr int WPT = (QW * UNITS + THREADS - 1) / THREADS;  // dense weights a thread
static_assert(NJ > 0 && NG > 0, "a block has too few threads");

static_assert(UNITS * (HID_SPLIT - 1) < HID, "there are too few hidden units for so many parts");

// The gradients by a tile's hidden sums, on their way from rows of HID to rows of HP.
struct Spread {
  static constexpr int WIDE = HID % 4 ? 1 : 4, EACH = (BACK_TILE * HID / WIDE + THREADS - 1) / THREADS;
  alignas(16) float held[EACH][WIDE];

  __device__ void load(const float* in, int count) {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      int e = (threadIdx.x + k * THREADS) * WIDE;
      if (e >= count * HID) continue;
      if (WIDE == 1)
        held[k][0] = in[e];
      else
        *(float4*)held[k] = *(const float4*)(in + e);
    }
  }
  __device__ void store(float* out, int count) const {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      int e = (threadIdx.x + k * THREADS) * WIDE;
      if (e >= count * HID) continue;
#pragma unroll
      for (int s = 0; s < WIDE; s++) out[e / HID * HP + e % HID + s] = held[k][s];
    }
  }
};

__device__ inline void pixels(int block, const float* x, const int* images, const int* step, int offset, int batch,
                              int n, const u8* places, const float* dz1, const float* dense, float* sums) {
  float* scratch = (float*)SHARED;
  float *xs = scratch, *red = xs + round_up(BACK_TILE * IMAGE, 4), *ws = red + NJ * BACK_TILE * QS;
  float *dzs = ws + HID * QS, *gs = dzs + BACK_TILE * HP;
  Seen* seen = (Seen*)(gs + BACK_TILE * QW);
  int* spots = (int*)(seen + BACK_TILE);
  const int slice = block % SLICES, r = slice % QH, split = block / SLICES, t = threadIdx.x, lane = t % 32;

  // In the pixels' gradient a thread has an image, QT pixels and a part of the hidden units; in the filters' a warp has
  // some of the taps.
  const int i2 = t % BACK_TILE, qt = t / BACK_TILE % QTILES, part = t / (BACK_TILE * QTILES);
  constexpr int SHARE = (TAPS + WARPS) / WARPS;
  float taps[SHARE] = {};
  constexpr int WIDE = (QP * HID + THREADS - 1) / THREADS, SPOTS = (BACK_TILE * QW + THREADS - 1) / THREADS;
  const float* own = dense + (size_t)slice * QW * HID;
  float weight[WIDE];
#pragma unroll
  for (int k = 0; k < WIDE; k++) weight[k] = t + k * THREADS < QW * HID ? own[t + k * THREADS] : 0.f;
  Rows<BACK_TILE> rows;
  Spread spread;
  int place[SPOTS];
  for (int first = split * BACK_TILE; first < n; first += BACK_SPLIT * BACK_TILE) {
    const int count = min(BACK_TILE, n - first);
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS;
      if (e < count * QW) place[k] = places[((size_t)slice * batch + first + e / QW) * QP + e % QW];
    }
    if (t < count) seen[t] = Seen(images, first + t, step, offset);
    __syncthreads();
    rows.load(x, seen, count, r);
    if (first == split * BACK_TILE) {
      follow();
      Rows<BACK_TILE>::clear(xs, r);
    }
    spread.load(dz1 + (size_t)first * HID, count);
    if (first == split * BACK_TILE)
#pragma unroll
      for (int k = 0; k < WIDE; k++)
        if (t + k * THREADS < QP * HID) ws[(t + k * THREADS) % HID * QS + (t + k * THREADS) / HID] = weight[k];
#pragma unroll
    for (int k = 0; k < SPOTS; k++) {
      int e = t + k * THREADS, q = e % QW;
      if (e < count * QW)
        spots[e] = place[k] == NOWHERE ? -1 : e / QW * IMAGE + place[k] / P * LINE + P * q + place[k] % P;
    }
    spread.store(dzs, count);
    __syncthreads();
    if (i2 < count && part < NJ) {
      float dp[QT] = {};
#pragma unroll 4
      for (int j = part; j < HID; j += NJ) {
        float d = dzs[i2 * HP + j];
#pragma unroll
        for (int q = 0; q < QT; q += 4) {
          float4 weight = *(const float4*)(ws + j * QS + qt * QT + q);
          dp[q] += d * weight.x, dp[q + 1] += d * weight.y, dp[q + 2] += d * weight.z, dp[q + 3] += d * weight.w;
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
    __syncthreads();
  }
#pragma unroll
  for (int s = 0; s < SHARE; s++) {
    const int k = t / 32 + s * WARPS;
    if (k > TAPS) continue;
    float sum = warp_sum(taps[s]);
    if (lane == 0) sums[(size_t)(slice / QH * (TAPS + 1) + k) * SUMMED + r * BACK_SPLIT + split] = sum;
  }
}

__device__ inline void weights(int block, int batch, int n, const float* rates, const float* pooled, const float* dz1,
                               const float* dense, float* next, float* md, float* vd) {
  float* scratch = (float*)SHARED;
  const int slice = block / HID_SPLIT, from = block % HID_SPLIT * UNITS;
  const int t = threadIdx.x, jq = t % JQ, qt = t / JQ % FOURS, part = t / (JQ * FOURS);
  const size_t base = (size_t)slice * QW * HID + from;  // of the block's weights, which lie there as (q, j)
  float w[WPT], mw[WPT], vw[WPT];  // needed last, fetched first
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = t + k * THREADS;
    size_t at = base + e / UNITS * HID + e % UNITS;
    if (e < QW * UNITS && from + e % UNITS < HID) w[k] = dense[at], mw[k] = md[at], vw[k] = vd[at];
  }
  follow();
  if (part < NG) {
    float dw[4][4] = {};
    const float *p = pooled + (size_t)slice * batch * QP + qt * 4, *d = dz1 + from;
    int column[4];
#pragma unroll
    for (int k = 0; k < 4; k++) column[k] = min(jq + k * JQ, HID - 1 - from);
#pragma unroll 4
    for (int i = part; i < n; i += NG) {
      float4 pixel = *(const float4*)(p + i * QP);
#pragma unroll
      for (int k = 0; k < 4; k++) {
        float delta = d[i * HID + column[k]];
        dw[k][0] += delta * pixel.x, dw[k][1] += delta * pixel.y;
        dw[k][2] += delta * pixel.z, dw[k][3] += delta * pixel.w;
      }
    }
#pragma unroll
    for (int k = 0; k < 4; k++)
#pragma unroll
      for (int q = 0; q < 4; q++) scratch[(part * QP + qt * 4 + q) * JS + jq + k * JQ] = dw[k][q];
  }
  const Adam adam(rates + (LAYERS - 2) * NUMBERS);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < WPT; k++) {
    int e = t + k * THREADS;
    if (e >= QW * UNITS || from + e % UNITS >= HID) continue;
    float g = 0.f;
#pragma unroll
    for (int p = 0; p < NG; p++) g += scratch[(p * QP + e / UNITS) * JS + e % UNITS];
    adam.step(g, w[k], mw[k], vw[k]);
    size_t at = base + e / UNITS * HID + e % UNITS;
    next[at] = w[k], md[at] = mw[k], vd[at] = vw[k];
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
