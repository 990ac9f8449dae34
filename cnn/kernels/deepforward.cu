// Both convolutions, ReLU, pooling and dropout: R rows of the second convolution of one image a block. Sixteen windows
// of M2/FWN filters are a warp's at a time: a row of its products is a window, and each place in the windows has sums
// of its own, so that one lane holds all of a window's sums.
//
// Where rounding could change which of them is the largest, or whether ReLU cuts it off, the window is computed once
// more in float32. A product of two rounded factors is off by 0.57 · 2^-11 of itself (standard deviation), a sum by no
// more than 0.57 · 2^-11 · top · ‖filter‖ with `top` the largest activation; sums that are further apart than TOLERANCE
// · 2^-11 · top · ‖filter‖ keep their order: two and a half standard deviations of the difference if all activations
// were as large as `top`, five or more where their mean square is half of it or less. Patches of one colour, as in an
// image's background, have equal sums in either arithmetic: the first of them wins.
constexpr int FT = 32 * FWARPS, FRP = R / P, RUN = FRP * QW, FGROUPS = (RUN + 15) / 16, FNT = M2 / 8 / FWN;
constexpr int FAS = row_of(M1P), FSEEN = (R + K2H - 1) * AW * FAS, FWS = TAPS2 * M2 * FAS;
constexpr int FORWARD_TILES = (QH + FRP - 1) / FRP;
static_assert(M2 * RUN <= 65536, "windows are numbered in 16 bits");
constexpr float TOLERANCE = 2.f / 2048;

// What a block of deep_forward knows of its dropout and of where it is.
struct Place {
  Dropout dropout;
  const u8* fallen;
  int i, tile;
  u32 first;  // feature of the first window of the first filter
  static constexpr bool FOURS = PLANE % 4 == 0 && RUN % 4 == 0;
  __device__ bool there(int w) const { return w < RUN && tile * FRP + w / QW < QH; }
  __device__ bool gone(int c, int w) const {
    return FOURS ? dropout.below && fallen[c * RUN + w] : dropout.drops(first + c * PLANE + w);
  }
  __device__ float put(float* pooled, u8* places, int c, int w, float best, int place, bool gone) const {
    const u32 feature = first + c * PLANE + w;
    places[feature] = gone || best <= 0.f ? NOWHERE : place;
    return pooled[feature] = gone ? 0.f : relu(best) * dropout.scale;
  }
};

// The colour of all that a sum in row y and column x of the second convolution is made of, NaN if there are several.
__device__ inline float colour(const float* xs, int y, int x) {
  constexpr int DOWN = (K2H - 1) * P1 + P1 + K1H - 1, ACROSS = (K2W - 1) * P1 + P1 + K1W - 1;
  const float several = __uint_as_float(0x7fffffffu);
  const int top = y - PAD2Y, left = x - PAD2X;
  if (top < 0 || left < 0 || top + K2H > H1 || left + K2W > W1) return several;
  const float* corner = xs + top * P1 * XS + left * P1;
  bool one = true;
#pragma unroll (C * DOWN * ACROSS <= 64 ? C * DOWN * ACROSS : 1)
  for (int e = 0; e < C * DOWN * ACROSS; e++)
    one &= corner[(e / (DOWN * ACROSS) * XH + e / ACROSS % DOWN) * XS + e % ACROSS] == corner[0];
  return one ? corner[0] : several;
}

// Of the places in window w those, as bits, whose patches have one colour, the same for all of them.
__device__ inline u32 of_one_colour(const float* colours, int w) {
  const float* corner = colours + w / QW * P * W2 + w % QW * P;
  float first = corner[0];
  u32 found = 0;
#pragma unroll
  for (int q = 0; q < P * P; q++) {
    const float own = corner[q / P * W2 + q % P];
    if (first != first) first = own;
    found |= (own == first ? 1u : 0u) << q;
  }
  return found;
}

// The second filters' lengths, a filter a warp: for the tolerance of the next step, which is then that of weights a
// step ago.
__device__ inline void note_length(const float* filters2, int c, float* lengths) {
  const int lane = threadIdx.x % 32;
  float sum = 0.f;
  for (int e = lane; e < M1 * TAPS2; e += 32) sum += filters2[c * M1 * TAPS2 + e] * filters2[c * M1 * TAPS2 + e];
  sum = warp_sum(sum);
  if (lane == 0) lengths[c] = sqrtf(sum);
}

// Computes windows once more in float32, a window a warp and a channel a lane.
struct Exact {
  static constexpr int ROWS = P + K2H - 1, COLUMNS = P + K2W - 1, EACH = (M1 + 31) / 32;
  static constexpr bool SMALL = ROWS * COLUMNS * TAPS1 * P1 * P1 <= 256;
  float first[EACH][TAPS1], bias[EACH];
  __device__ Exact(const float* filters1, const float* biases1) {
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      const int channel = min(k * 32 + int(threadIdx.x % 32), M1 - 1);
      bias[k] = biases1[channel];
#pragma unroll
      for (int tap = 0; tap < TAPS1; tap++) first[k][tap] = filters1[channel * TAPS1 + tap];
    }
  }
  // The first largest sum of filter c in the window whose first pixel is (y, x), and its place.
  __device__ float largest(const float* xs, const float* filters2, int c, int y, int x, int& place) const {
    float sums[P * P] = {};
#pragma unroll
    for (int k = 0; k < EACH; k++) {
      const int channel = k * 32 + threadIdx.x % 32;
      float w[TAPS2];
#pragma unroll
      for (int tap = 0; tap < TAPS2; tap++) w[tap] = channel < M1 ? filters2[(c * M1 + channel) * TAPS2 + tap] : 0.f;
#pragma unroll (SMALL ? ROWS * COLUMNS : 1)
      for (int e = 0; e < ROWS * COLUMNS; e++) {
        const int row = e / COLUMNS, col = e % COLUMNS;
        const float seen = first_value(xs, first[k], bias[k], y + row - PAD2Y, x + col - PAD2X);
#pragma unroll
        for (int q = 0; q < P * P; q++) {
          const int ky = row - q / P, kx = col - q % P;
          if (ky >= 0 && ky < K2H && kx >= 0 && kx < K2W) sums[q] += seen * w[ky * K2W + kx];
        }
      }
    }
    float best = 0.f;
#pragma unroll
    for (int q = 0; q < P * P; q++) {
      const float z = warp_sum(sums[q]);
      if (q == 0 || z > best || (z != z && best == best)) best = z, place = q;
    }
    return best;
  }
};

extern "C" __global__ void __launch_bounds__(FT)
deep_forward(const float* x, const int* images, const int* step, int offset, int batch, const float* filters1,
             const float* biases1, const float* filters2, const float* biases2, const Cell* packed,
             const float* lengths, u32 seed, u32 below, float scale, float* pooled, u8* places, u8* places1,
             Cell* seen1, float* scales1, u32* peaks) {
  float *xs = (float*)SHARED, *red = xs + IMAGE, *tolerances = red + 4 * FWARPS;
  float *offsets = tolerances + M2, *colours = offsets + M2;
  Cell *as = (Cell*)(colours + round_up(R * W2, 4)), *ws = as + FSEEN;
  int* count = (int*)(ws + FWS);
  unsigned short* doubtful = (unsigned short*)(count + 4);
  u8* fallen = (u8*)(doubtful + M2 * RUN);
  const int t = threadIdx.x, tile = blockIdx.x % FORWARD_TILES, i = blockIdx.x / FORWARD_TILES;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int image = images[i];
  const float seen = fetch_image<FT>(xs, x + (size_t)image * C * H * W, MOVED ? Move(i, step, offset) : Move());
  const Place here{{seed, u32(step[1] + step[0] + offset), below, scale}, fallen, i, tile,
                   u32(i * FEATURES + tile * RUN)};
  if (t == 0) *count = 0;
  if (Place::FOURS && below)
    for (int e = t; e < M2 * RUN / 4; e += FT) {
      int c = e / (RUN / 4), at = e % (RUN / 4) * 4;
      Drawn drawn = philox((here.first + c * PLANE + at) / 4, here.dropout.step, seed);
      u32 four = 0;
#pragma unroll
      for (int q = 0; q < 4; q++) four |= (drawn.number[q] < below ? 1u : 0u) << 8 * q;
      *(u32*)(fallen + c * RUN + at) = four;
    }
  follow();
  fetch_rows<FT, M1P, FAS>(ws, packed, TAPS2 * M2);
  fetch_done();
  const Two<FT> two(filters1, biases1);
  two.note(red, seen);
  for (int c = t; c < M2; c += FT) tolerances[c] = TOLERANCE * LARGER * lengths[c], offsets[c] = biases2[c];
  if (t == 0 && blockIdx.x == 0) peaks[0] = 0;  // the largest gradient, see deep_dense_back; [1] is of `pooled`
  fetched<0>();
  __syncthreads();
  const Scale by(Two<FT>::bound(red));
  const float most = warp_max(two.template apply<FAS>(as, xs, tile * R - PAD2Y, R + K2H - 1, by.by,
                                                      places1 + (size_t)i * H1 * W1 * M1));
  if (lane == 0) red[3 * FWARPS + warp] = most;
  if (M1P > M1)
    for (int e = t; e < (R + K2H - 1) * AW * (M1P - M1); e += FT)
      put(as + e / (M1P - M1) * FAS + M1 + e % (M1P - M1), 0.f);
  if (t == 0 && tile == 0) scales1[2 * i] = by.by, scales1[2 * i + 1] = by.back;
  if (PRECISE)
    for (int e = t; e < R * W2; e += FT) colours[e] = colour(xs, tile * R + e / W2, e % W2);
  __syncthreads();

  constexpr int EACH = 16 / sizeof(Cell), CHUNKS = M1P / EACH;
  for (int e = t; e < (R + K2H - 1) * W1 * CHUNKS; e += FT) {  // the first layer's output to memory, for deep_filters
    const int y = tile * R - PAD2Y + e / (W1 * CHUNKS), col = e / CHUNKS % W1, chunk = e % CHUNKS * EACH;
    if (y >= 0 && y < ROWS1)
      *(float4*)(seen1 + (size_t)((i * H1 + y) * W1 + col) * M1P + chunk) =
          *(const float4*)(as + (e / (W1 * CHUNKS) * AW + col + PAD2X) * FAS + chunk);
  }
  const float back = by.back / LARGER, top = Two<FT>::top_of(red + 3 * FWARPS);
  float largest = 0.f;
  for (int unit = warp; unit < FGROUPS * FWN; unit += FWARPS) {
    const int first = unit / FWN * 16, n0 = unit % FWN * FNT, row = min(first + lane % 16, RUN - 1);
    const Cell* seen = as + (row / QW * P * AW + row % QW * P) * FAS + lane / 16 * 8;
    const Cell* w = ws + n0 * 8 * FAS + eight_rows<FAS>();
    float sums[P * P][FNT][4] = {};
#pragma unroll 1
    for (int tap = 0; tap < TAPS2; tap++) {
      const Cell *from = seen + (tap / K2W * AW + tap % K2W) * FAS, *column = w + tap * M2 * FAS;
#pragma unroll
      for (int c = 0; c < M1P; c += 16) {
        Pair a[P * P][4], b[FNT / 2][4];
#pragma unroll
        for (int q = 0; q < P * P; q++) fetch<false>(a[q], from + (q / P * AW + q % P) * FAS + c);
#pragma unroll
        for (int n = 0; n < FNT / 2; n++) fetch<false>(b[n], column + n * 16 * FAS + c);
        multiply(sums, a, b);
      }
    }
    u32 alike[2];
#pragma unroll
    for (int h = 0; h < 2; h++) alike[h] = PRECISE ? of_one_colour(colours, min(first + h * 8 + g, RUN - 1)) : 0;
#pragma unroll
    for (int e = 0; e < 2 * FNT; e++) {
      const int c = (n0 + e / 2) * 8 + 2 * k + e % 2;
      const float near = tolerances[c] * top, cut = near * back, offset = offsets[c];
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int w = first + h * 8 + g;
        float z[P * P], best, all;
#pragma unroll
        for (int q = 0; q < P * P; q++) {
          z[q] = sums[q][e / 2][2 * h + e % 2];
          best = q ? fmaxf(best, z[q]) : z[q], all = q ? all + z[q] : z[q];
        }
        if (all != all) best = all;  // NaN is the largest
        u32 equal = 0, close = 0;
#pragma unroll
        for (int q = 0; q < P * P; q++)
          equal |= (z[q] == best ? 1u : 0u) << q, close |= (z[q] >= best - near ? 1u : 0u) << q;
        const float value = best * back + offset;
        const bool unsure = close != equal || ((equal & (equal - 1)) && (equal & ~alike[h])) || value < cut;
        if (!here.there(w)) continue;
        const bool gone = here.gone(c, w);
        if (PRECISE && unsure && value > -cut && !gone)
          doubtful[atomicAdd(count, 1)] = (unsigned short)(c * RUN + w);
        else
          largest = fmaxf(largest, here.put(pooled, places, c, w, value, max(__ffs(equal) - 1, 0), gone));
      }
    }
  }
  if (PRECISE) {
    const Exact exact(filters1, biases1);
    __syncthreads();
    for (int e = warp; e < *count; e += FWARPS) {
      const int c = doubtful[e] / RUN, w = doubtful[e] % RUN;
      int place = 0;
      const float z = exact.largest(xs, filters2, c, tile * R + w / QW * P, w % QW * P, place);
      if (lane == 0) largest = fmaxf(largest, here.put(pooled, places, c, w, z + offsets[c], place, false));
    }
  }
  largest = warp_max(largest);
  if (lane == 0) atomicMax(peaks + 1, __float_as_uint(largest));  // the order of positive floats is that of their bits
}

// The second filters as the kernels read them, halves as (tap, filter, channel), with channels of zeros up to M1P.
__device__ inline void pack(Cell* packed, int tap, int filter, int channel, float w) {
  put(packed + (tap * M2 + filter) * M1P + channel, w * LARGER);
}
extern "C" __global__ void __launch_bounds__(256) deep_pack(const float* filters2, Cell* packed, float* lengths) {
  const int e = blockIdx.x * 256 + threadIdx.x, channel = e % M1P, filter = e / M1P % M2, tap = e / (M1P * M2);
  const int at = (filter * M1 + channel) * TAPS2 + tap;
  if (tap < TAPS2) pack(packed, tap, filter, channel, channel < M1 ? filters2[at] : 0.f);
  if (e / 32 < M2) note_length(filters2, e / 32, lengths);
}
