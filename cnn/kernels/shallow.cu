// A training step of a net of four layers, in three kernels: a convolution (stride 1) with ReLU, a max pooling whose
// windows lie beside each other, a dense layer with ReLU, and an output layer with softmax and cross entropy.
//
// A slice is one row of pooled pixels of one filter. Its pixels feed QW rows of the dense layer's weights. A block
// works on a slice for a part of the images: it gathers the few rows of the images that the slice needs, and the dense
// layer's sums are cut along their length, one part a slice. No im2col lies in memory, and no gradient by the pooled
// image.
//
// The dense layer's three products are those of tiles.cu, on tensor cores where there are some. Factors are not rounded
// there but cut in two, and three products of the parts give nearly what float32 does.
//
// Constants: C H W (an image), M KH KW PADY PADX (the convolution), P (pool), QH QW (pooled image), HID CLS (dense and
// output), SLICES (M · QH), TILE SPLIT (forward: images in a tile, and over how many blocks the tiles of a slice go),
// BACK_TILE BACK_SPLIT EIGHTS (see shallowback.cu), THREADS (of a block)
// and those of images.cu, head.cu and tiles.cu.

constexpr int ROWS = P + KH - 1, COLS = P * QW + KW - 1;  // of an image, for a slice
constexpr int LEAD = (4 - PADX % 4) % 4;                  // in front of it in shared memory: 16-byte writes behind PADX
constexpr int LINE = round_up(LEAD + COLS, 4);
constexpr int IMAGE = C * ROWS * LINE;
constexpr int TAPS = C * KH * KW;
constexpr int FILTER = round_up(TAPS + 1, 4);  // a filter and its bias in shared memory
constexpr int QP = round_up(QW, 16);           // row of pooled pixels in memory
constexpr int QS = QP + 4;                     // and in shared memory: no bank conflicts
constexpr int WARPS = THREADS / 32;
constexpr u8 NOWHERE = 255;  // the place of a window whose largest value ReLU cuts off

// Which image is the i-th of a tile, and how it is moved.
struct Seen {
  int image;
  Move move;
  __device__ Seen(const int* images, int i, const int* step, int offset) : image(images[i]) {
    if (MOVED) move = Move(i, step, offset);
  }
};

// To xs go the rows of a tile's images that the slice in pooled row r sees, an image a warp; on their way until `arrived`.
__device__ inline void gather(float* xs, const float* x, const Seen* seen, int count, int r) {
  if (MOVED || W % 4) {
#pragma unroll 4
    for (int e = threadIdx.x; e < count * IMAGE; e += THREADS) {
      int i = e / IMAGE, c = e % IMAGE / (ROWS * LINE), y = P * r + e / LINE % ROWS - PADY, col = e % LINE - LEAD - PADX;
      if (y >= 0 && y < H && col >= 0 && col < W)
        xs[e] = seen[i].move.see(x + ((size_t)seen[i].image * C + c) * H * W, y, col);
    }
    return;
  }
  constexpr int ACROSS = W / 4 > 0 ? W / 4 : 1, FOURS = C * ROWS * ACROSS;
  for (int f = threadIdx.x % 32; f < FOURS; f += 32) {
    const int c = f / (ROWS * ACROSS), y = P * r + f / ACROSS % ROWS - PADY, col = LEAD + PADX + f % ACROSS * 4;
    const float* from = x + ((size_t)c * H + y) * W + f % ACROSS * 4;
    float* to = xs + f / ACROSS * LINE + col;
    if (y >= 0 && y < H && col < LINE)
#pragma unroll 4
      for (int i = threadIdx.x / 32; i < count; i += WARPS) fetch(to + i * IMAGE, from + (size_t)seen[i].image * (C * H * W));
  }
}

// Zeros around the images in xs; nothing else is written there.
template <int IMAGES>
__device__ inline void clear(float* xs, int r) {
  for (int e = threadIdx.x; e < IMAGES * C * ROWS; e += THREADS) {
    float* line = xs + e * LINE;
    const int y = P * r + e % ROWS - PADY;
    const bool outside = y < 0 || y >= H;
    for (int col = 0; col < (outside ? LINE : min(LEAD + PADX, LINE)); col++) line[col] = 0.f;
    for (int col = LEAD + PADX + W; col < (outside ? 0 : LINE); col++) line[col] = 0.f;
  }
}

// N numbers of a row from pooled pixel q on, two a read where P allows it.
template <int N>
__device__ inline void read(float (&out)[N], const float* line, int q) {
  constexpr int STEP = P % 2 ? 1 : 2, FIRST = LEAD % STEP;
  const float* from = line + LEAD - FIRST + P * q;
#pragma unroll
  for (int k = -FIRST; k < N; k += STEP) {
    float two[2] = {from[k + FIRST]};
    if (STEP == 2) *(float2*)two = *(const float2*)(from + k + FIRST);
#pragma unroll
    for (int s = 0; s < STEP; s++)
      if (k + s >= 0 && k + s < N) out[k + s] = two[s];
  }
}

// The first largest of the convolution's sums in a pooling window, and its place.
__device__ inline float window(const float* xs, const float (&filter)[FILTER], int q, int& place) {
  float z[P * P];
#pragma unroll
  for (int k = 0; k < P * P; k++) z[k] = filter[TAPS];
#pragma unroll
  for (int c = 0; c < C; c++) {
    float patch[ROWS][P + KW - 1];
#pragma unroll
    for (int y = 0; y < ROWS; y++) read(patch[y], xs + (c * ROWS + y) * LINE, q);
#pragma unroll
    for (int ky = 0; ky < KH; ky++)
#pragma unroll
      for (int kx = 0; kx < KW; kx++) {
        float w = filter[(c * KH + ky) * KW + kx];
#pragma unroll
        for (int k = 0; k < P * P; k++) z[k] += w * patch[k / P + ky][k % P + kx];
      }
  }
  float best = z[0];
  place = 0;
#pragma unroll
  for (int k = 1; k < P * P; k++)
    if (z[k] > best || (z[k] != z[k] && best == best)) {
      best = z[k];
      place = k;
    }
  return best;
}

// Number `e` of the filters (a filter's weights, then its bias) with Adam's averages, as they are in the step `offset`;
// eight threads beside each other work on one number, and all of a warp take part.
//
// Their gradients are sums over a filter's slices and the parts of the images, which are blocks. Nobody waits for the
// last of them: every block that needs a filter does the step behind by itself, while its images are on their way; one
// block keeps what came out in `kept`, two sets by turns. The first step of a graph, and the one behind it, find all in
// the model's own arrays.
constexpr int NUMBERED = M * (TAPS + 1), SUMMED = QH * BACK_SPLIT;

struct Learned {
  static constexpr int LANES = 8, EACH = (SUMMED + LANES - 1) / LANES;
  float now[3], parts[EACH];

  __device__ Learned(int e, int offset, const float* sums, const float* kept, const float* filters, const float* mf,
                     const float* vf, const float* biases, const float* mb, const float* vb) {
    const int m = e / (TAPS + 1), k = e % (TAPS + 1), at = m * TAPS + k;
    if (offset > 1)
      for (int s = 0; s < 3; s++) now[s] = kept[((offset - 1) % 2 * 3 + s) * NUMBERED + e];
    else if (k < TAPS)
      now[0] = filters[at], now[1] = mf[at], now[2] = vf[at];
    else
      now[0] = biases[m], now[1] = mb[m], now[2] = vb[m];
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      int part = threadIdx.x % LANES + k * LANES;
      parts[k] = offset > 0 && part < SUMMED ? sums[(size_t)e * SUMMED + part] : 0.f;
    }
  }
  __device__ void step(const float* table, int step) {
    float g = 0.f;
#pragma unroll
    for (int k = 0; k < EACH; k++) g += parts[k];
    for (int d = LANES / 2; d > 0; d /= 2) g += __shfl_xor_sync(0xffffffffu, g, d);
    Adam(table + (size_t)step * LAYERS * NUMBERS).step(g, now[0], now[1], now[2]);
  }
  __device__ void keep(float* kept, int e, int offset) const {
    if (threadIdx.x % LANES < 3) kept[(offset % 2 * 3 + threadIdx.x % LANES) * NUMBERED + e] = now[threadIdx.x % LANES];
  }
};
static_assert(THREADS / Learned::LANES > TAPS, "a block has too few threads for a filter");

// Numbers as they are multiplied: cut in two, if tensor cores round them.
#if defined(EMULATED) || __CUDA_ARCH__ >= 800
constexpr bool CUT = true;
#else
constexpr bool CUT = false;
#endif
template <int N>
struct Cut {
  float whole[N], rest[N];
  __device__ Cut() {}
  template <class Number>
  __device__ explicit Cut(Number number) {
#pragma unroll
    for (int k = 0; k < N; k++) whole[k] = number(k), rest[k] = CUT ? split(whole[k]) : 0.f;
  }
};

// sum += a · b, as tiles.cu has them.
__device__ inline void multiply_add(float (&sum)[4], const Cut<4>& a, const Cut<2>& b) {
  if (CUT) multiply_add(sum, a.rest, b.whole), multiply_add(sum, a.whole, b.rest);
  multiply_add(sum, a.whole, b.whole);
}

// Two numbers beside each other in a row of HID, of which so many are there.
__device__ inline void get_two(float* two, const float* from, int there) {
  if (HID % 2 == 0) {
    float2 both = *(const float2*)from;
    two[0] = both.x, two[1] = both.y;
  } else
    two[0] = from[0], two[1] = there > 1 ? from[1] : 0.f;
}

__device__ inline void put_two(float* to, const float* two, int there) {
  if (HID % 2 == 0)
    *(float2*)to = make_float2(two[0], two[1]);
  else {
    to[0] = two[0];
    if (there > 1) to[1] = two[1];
  }
}

// A warp has some eights of hidden units.
constexpr int NT = ((HID + 7) / 8 + WARPS - 1) / WARPS;

extern "C" __global__ void __launch_bounds__(THREADS, 768 / THREADS)
shallow_forward(const float* x, const int* images, const int* step, int offset, int batch, int n, const float* table,
                const float* sums, float* kept, const float* filters, const float* mf, const float* vf,
                const float* biases, const float* mb, const float* vb, const float* dense, float* pooled, u8* places,
                float* parts) {
  float* shared = (float*)SHARED;
  float *xs = shared, *ps = xs + round_up(TILE * IMAGE, 4), *filter = ps + round_up(TILE, 16) * QS;
  Seen* seen = (Seen*)(filter + FILTER);
  const int slice = blockIdx.x % SLICES, r = slice % QH, t = threadIdx.x;
  const int lane = t % 32, g = lane / 4, u = lane % 4, j = t / 32 * NT * 8;
  int first = blockIdx.x / SLICES * TILE;
  if (first >= n) return;

  // All that comes from memory is on its way before the first of it is used.
  const int begun = *step, number = t / Learned::LANES, e = slice / QH * (TAPS + 1) + min(number, TAPS);
  auto bring = [&]() {
    const int count = min(TILE, n - first);
    if (t < count) seen[t] = Seen(images, first + t, step, offset);
    __syncthreads();
    gather(xs, x, seen, count, r);
  };
  bring();
  follow();
  float w[QP / 8][NT][2];  // the dense weights of this slice's pixels to the warp's hidden units
  const float* column = dense + (size_t)slice * QW * HID + u * HID + j + g;
#pragma unroll
  for (int k = 0; k < QP / 8; k++)
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int s = 0; s < 2; s++) {
        const int q = k * 8 + s * 4;
        w[k][n][s] = q + u < QW && j + g + n * 8 < HID ? column[q * HID + n * 8] : 0.f;
      }
  if (t / 32 * 32 / Learned::LANES <= TAPS) {
    Learned learned(e, offset, sums, kept, filters, mf, vf, biases, mb, vb);
    if (offset > 0) learned.step(table, begun + offset - 1);
    if (number <= TAPS && t % Learned::LANES == 0) filter[number] = learned.now[0];
    if (number <= TAPS && offset > 0 && r == 0 && blockIdx.x < SLICES) learned.keep(kept, e, offset);
  }
  clear<TILE>(xs, r);
  for (;;) {
    const int count = min(TILE, n - first);
    arrived();
    __syncthreads();
    float own[FILTER];
#pragma unroll
    for (int k = 0; k < FILTER; k += 4) {
      float4 four = *(const float4*)(filter + k);
      own[k] = four.x, own[k + 1] = four.y, own[k + 2] = four.z, own[k + 3] = four.w;
    }
    const size_t row = ((size_t)slice * batch + first) * QP;
    for (int e = t; e < count * QP; e += THREADS) {
      int i = e / QP, q = e % QP, place = NOWHERE;
      float best = q < QW ? window(xs + i * IMAGE, own, q, place) : 0.f;
      float value = relu(best);
      ps[i * QS + q] = pooled[row + e] = value;
      places[row + e] = best <= 0.f ? NOWHERE : place;
    }
    __syncthreads();
    Cut<2> columns[QP / 8][NT];
#pragma unroll
    for (int k = 0; k < QP / 8 * NT; k++) columns[k / NT][k % NT] = Cut<2>([&](int s) { return w[k / NT][k % NT][s]; });
    const float* from = ps + g * QS + u;
    float* to = parts + ((size_t)(first + g) * SLICES + slice) * HID + j + 2 * u;
    for (int m = g; m - g < count && j < HID; m += 16, from += 16 * QS, to += 16 * SLICES * HID) {
      float sum[NT][4] = {};
#pragma unroll
      for (int k = 0; k < QP / 8; k++) {
        const Cut<4> row([&](int s) { return from[k * 8 + s % 2 * 8 * QS + s / 2 * 4]; });
#pragma unroll
        for (int n = 0; n < NT; n++) multiply_add(sum[n], row, columns[k][n]);
      }
#pragma unroll
      for (int s = 0; s < 2; s++)
#pragma unroll
        for (int n = 0; n < NT; n++) {
          const int there = HID - (j + n * 8 + 2 * u);
          if (m + s * 8 < count && there > 0) put_two(to + s * 8 * SLICES * HID + n * 8, sum[n] + 2 * s, there);
        }
    }
    first += SPLIT * TILE;
    if (first >= n) return;
    __syncthreads();
    bring();
  }
}

// Behind the steps of a graph: the filters' last step, into the model's own arrays; and the dense weights, where the
// last step left them in `other`.
extern "C" __global__ void shallow_settle(const int* step, int steps, const float* table, const float* sums,
                                          float* kept, float* filters, float* mf, float* vf, float* biases, float* mb,
                                          float* vb, float* dense, const float* other) {
  const int t = blockIdx.x * blockDim.x + threadIdx.x, threads = gridDim.x * blockDim.x;
  for (int number = t / Learned::LANES; number < round_up(NUMBERED, 4); number += threads / Learned::LANES) {
    const int e = min(number, NUMBERED - 1), m = e / (TAPS + 1), k = e % (TAPS + 1), at = m * TAPS + k;
    Learned learned(e, steps, sums, kept, filters, mf, vf, biases, mb, vb);
    learned.step(table, *step + steps - 1);
    if (number >= NUMBERED || t % Learned::LANES) continue;
    if (k < TAPS)
      filters[at] = learned.now[0], mf[at] = learned.now[1], vf[at] = learned.now[2];
    else
      biases[m] = learned.now[0], mb[m] = learned.now[1], vb[m] = learned.now[2];
  }
  if (steps % 2)
    for (int e = t; e < SLICES * QW * HID; e += threads) dense[e] = other[e];
}
