// A training step of a net of two convolutions (stride 1, ReLU), a max pooling whose windows lie beside each other, a
// dense layer with ReLU and an output layer, in seven kernels. There may be a pooling of that kind between the
// convolutions, too, and dropout before either of the last two layers.
//
// The first convolution, with its pooling, has few multiplications and is computed again wherever its images are needed,
// which costs less than fetching them. The second one is a product of matrices whose columns are never laid out: the
// tensor cores' fragments are read from the images themselves, as halves (see halves.cu). Its gradient by the sums is zero but for one pixel of a pooling window
// and is spread out in shared memory only.
//
// Constants: C H W, M1 K1H K1W PAD1Y PAD1X Z1H Z1W (first convolution), P1 H1 W1 (its pooling, 1 for none), M2 K2H K2W
// PAD2Y PAD2X H2 W2 (second), P QH QW (pooling), those of head.cu, REST_PARTS (threads that share the images in
// deep_learn), TENSOR, PRECISE (whether sums of the second convolution that rounding could put in another order are
// computed once more); and how blocks are cut: R, RD, RW (rows of a block in deep_forward, deep_pixels, deep_filters),
// SLICE, TI, SPLIT (features of a block in deep_dense, images at a time, blocks that share the images), BSLICE, BTI (those
// of deep_dense_back), FWARPS, PWARPS (warps of a block in deep_forward and deep_pixels), FWN, DWN (how many of them share
// the filters or channels).

constexpr int FEATURES = M2 * QH * QW, PLANE = QH * QW;
constexpr int TAPS1 = C * K1H * K1W, TAPS2 = K2H * K2W, M1P = round_up(M1, 16);
constexpr int XH = Z1H + K1H - 1, XW = Z1W + K1W - 1, XS = round_up(XW + 6, 4), IMAGE = C * XH * XS;
constexpr int AW = W2 + K2W - 1;  // columns of the second convolution's input, with padding
constexpr int STEP = 4 / P1;      // pixels of it in a strip
constexpr u8 NOWHERE = 255;       // the place of a window whose largest value ReLU cuts off, or that dropout drops
constexpr int ROWS1 = QH * P + K2H - 1 - PAD2Y < H1 ? QH * P + K2H - 1 - PAD2Y : H1;  // of its input that are pooled
constexpr float LARGER = 16.f;    // what the second filters are multiplied by before they are rounded to halves

// One image, with the first convolution's padding. Gives the largest size of a pixel that this thread saw.
template <int T>
__device__ float fetch_image(float* xs, const float* x, const Move& move) {
  float top = 0.f;
  for (int e = threadIdx.x; e < IMAGE; e += T) {
    int c = e / (XH * XS), y = e / XS % XH - PAD1Y, col = e % XS - PAD1X;
    float seen = y >= 0 && y < H && col >= 0 && col < W ? move.see(x + c * H * W, y, col) : 0.f;
    xs[e] = seen, top = fmaxf(top, fabsf(seen));
  }
  return top;
}

// Four neighbouring columns of the first convolution's sums, before ReLU, in the P1 rows that pool to one.
struct Strip {
  float z[P1][4];
  __device__ Strip(const float* xs, const float (&w)[TAPS1], float bias, int y, int x) {
#pragma unroll
    for (int k = 0; k < P1 * 4; k++) z[k / 4][k % 4] = bias;
    each(xs, y, x, [&](int tap, int p, int k, float seen) { z[p][k] += w[tap] * seen; });
  }
  // What the strip sees, as (tap, row of the strip, column of it, pixel), from shared memory and once a pixel.
  template <class Use>
  __device__ static void each(const float* xs, int y, int x, Use use) {
#pragma unroll
    for (int c = 0; c < C; c++)
#pragma unroll
      for (int row = 0; row < K1H + P1 - 1; row++) {
        const float* line = xs + (c * XH + y * P1 + row) * XS;
        float seen[round_up(K1W + 3, 4)];
        if (PAD2X > 0)
#pragma unroll
          for (int k = 0; k < K1W + 3; k++) seen[k] = line[max(0, min(x * P1 + k, XS - 1))];
        else
#pragma unroll
          for (int k = 0; k < K1W + 3; k += 4) {
            const float4 four = *(const float4*)(line + x * P1 + k);
            seen[k] = four.x, seen[k + 1] = four.y, seen[k + 2] = four.z, seen[k + 3] = four.w;
          }
#pragma unroll
        for (int p = 0; p < P1; p++)
          if (row - p >= 0 && row - p < K1H)
#pragma unroll
            for (int tap = 0; tap < K1W; tap++)
#pragma unroll
              for (int k = 0; k < 4; k++) use((c * K1H + row - p) * K1W + tap, p, k, seen[k + tap]);
      }
  }
  // The first largest sum in window q, and its place.
  __device__ float largest(int q, int& place) const {
    float best = z[0][q * P1];
    place = 0;
#pragma unroll
    for (int k = 1; k < P1 * P1; k++) {
      float each = z[k / P1][q * P1 + k % P1];
      if (each > best || (each != each && best == best)) best = each, place = k;
    }
    return best;
  }
};

// Two filters of the first convolution, which a thread of T applies to a part of the strips.
template <int T>
struct Two {
  static constexpr int UNITS = T / (M1 / 2), WARPS = T / 32;
  int c = threadIdx.x % (M1 / 2) * 2, unit = threadIdx.x / (M1 / 2);
  float w[2][TAPS1], bias[2];
  __device__ Two(const float* filters, const float* biases) {
#pragma unroll
    for (int k = 0; k < 2 * TAPS1; k++) w[k / TAPS1][k % TAPS1] = filters[c * TAPS1 + k];
    bias[0] = biases[c], bias[1] = biases[c + 1];
  }
  // In two parts, with a barrier between: a bound on what the first layer gives for this image. `red` has 3·WARPS numbers.
  __device__ void note(float* red, float seen) const {
    float sizes[2] = {};
#pragma unroll
    for (int k = 0; k < 2 * TAPS1; k++) sizes[k / TAPS1] += fabsf(w[k / TAPS1][k % TAPS1]);
    const float tops[3] = {seen, fmaxf(sizes[0], sizes[1]), fmaxf(fabsf(bias[0]), fabsf(bias[1]))};
#pragma unroll
    for (int k = 0; k < 3; k++) {
      const float top = warp_max(tops[k]);
      if (threadIdx.x % 32 == 0) red[k * WARPS + threadIdx.x / 32] = top;
    }
  }
  __device__ static float bound(const float* red) {
    return top_of(red) * top_of(red + WARPS) + top_of(red + 2 * WARPS);
  }
  __device__ static float top_of(const float* red) {
    return warp_max(int(threadIdx.x % 32) < WARPS ? red[threadIdx.x % 32] : 0.f);
  }
  // `rows` rows of the second convolution's input from row `first` on, times `by`, as (row, column, channel), with its
  // padding. Gives the largest that this thread put down; `kept`, if any, gets the places in the first pooling's windows
  // that gradients go to, as (row, column, channel) without padding.
  template <int STRIDE>
  __device__ float apply(Cell* out, const float* xs, int first, int rows, float by, u8* kept = nullptr) const {
    constexpr int STRIPS = (AW + STEP - 1) / STEP;
    float top = 0.f;
    for (int s = unit; unit < UNITS && s < rows * STRIPS; s += UNITS) {
      const int i = s / STRIPS, j = s % STRIPS * STEP, y = first + i, x = j - PAD2X;
      const Strip a(xs, w[0], bias[0], max(0, min(y, H1 - 1)), x), b(xs, w[1], bias[1], max(0, min(y, H1 - 1)), x);
#pragma unroll
      for (int q = 0; q < STEP; q++)
        if (j + q < AW) {
          int left, right;
          const bool inside = y >= 0 && y < H1 && x + q >= 0 && x + q < W1;
          const float p = inside ? relu(a.largest(q, left)) : 0.f, r = inside ? relu(b.largest(q, right)) : 0.f;
          put_two(out + (i * AW + j + q) * STRIDE + c, p * by, r * by);
          top = fmaxf(top, fmaxf(p, r));
          if (kept && inside)
            *(unsigned short*)(kept + (y * W1 + x + q) * M1 + c) =
                (unsigned short)((p > 0.f ? left : NOWHERE) | (r > 0.f ? right : NOWHERE) << 8);
        }
    }
    return top * by;
  }
};

// The first layer's output in one place, from `xs`, as `Strip` has it to the last bit.
__device__ inline float first_value(const float* xs, const float (&w)[TAPS1], float bias, int y, int x) {
  if (y < 0 || y >= H1 || x < 0 || x >= W1) return 0.f;
  float best = 0.f;
#pragma unroll
  for (int p = 0; p < P1 * P1; p++) {
    float z = bias;
#pragma unroll
    for (int k = 0; k < TAPS1; k++)
      z += w[k] * xs[(k / (K1H * K1W) * XH + y * P1 + p / P1 + k / K1W % K1H) * XS + x * P1 + p % P1 + k % K1W];
    if (p == 0 || z > best || (z != z && best == best)) best = z;
  }
  return relu(best);
}

// The gradient by the second convolution's sums in rows first … first + rows, times `scale`: out(row, column, channel)
// with MARGIN columns of zeros on the left; what is written is all the pooling windows reach.
template <int T, int WIDTH, int STRIDE, int MARGIN>
__device__ void spread(Cell* out, const float* gradient, const u8* places, float scale, int first, int rows) {
  const int low = max(0, first / P - (first < 0)), high = min(QH, (first + rows + P - 1) / P);
  for (int e = threadIdx.x; e < (high - low) * QW * (M2 / 8); e += T) {
    const int px = e % QW, c = e / QW % (M2 / 8) * 8, py = low + e / (QW * (M2 / 8)), at = c * PLANE + py * QW + px;
    float g[8];
    int place[8];
#pragma unroll
    for (int k = 0; k < 8; k++) place[k] = places[at + k * PLANE], g[k] = gradient[at + k * PLANE] * scale;
#pragma unroll
    for (int q = 0; q < P * P; q++) {
      const int row = py * P + q / P - first;
      float here[8];
#pragma unroll
      for (int k = 0; k < 8; k++) here[k] = place[k] == q ? g[k] : 0.f;
      if (row >= 0 && row < rows) put_eight(out + (row * WIDTH + MARGIN + px * P + q % P) * STRIDE + c, here);
    }
  }
}

template <int T>
__device__ void clear(Cell* out, int cells) {
  for (int e = threadIdx.x; e < cells * int(sizeof(Cell)) / 16; e += T)
    ((float4*)out)[e] = make_float4(0.f, 0.f, 0.f, 0.f);
}

// Both convolutions, ReLU, pooling and dropout: R rows of the second convolution of one image a block. Sixteen windows
// of M2/FWN filters are a warp's at a time: a row of its products is a window, and each place in the windows has sums of
// its own, so that one lane holds all of a window's sums.
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

// The second filters' lengths, a filter a warp: for the tolerance of the next step, which is then that of weights a step
// ago.
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
             const float* biases1, const float* filters2, const float* biases2, const Cell* packed, const float* lengths,
             u32 seed, u32 below, float scale, float* pooled, u8* places, u8* places1, Cell* seen1,
             float* scales1, u32* peaks) {
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
    for (int e = t; e < (R + K2H - 1) * AW * (M1P - M1); e += FT) put(as + e / (M1P - M1) * FAS + M1 + e % (M1P - M1), 0.f);
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
  if (tap < TAPS2) pack(packed, tap, filter, channel, channel < M1 ? filters2[(filter * M1 + channel) * TAPS2 + tap] : 0.f);
  if (e / 32 < M2) note_length(filters2, e / 32, lengths);
}

// The dense layer's sums in parts: SLICE features of every SPLITth TI images a block.
constexpr int DT = 512, DWARPS = DT / 32;  // threads of a block in this kernel and the next
constexpr int UNIT_TILES = round_up(HID, 16) / 16;
constexpr int ES = row_of(SLICE), JS = row_of(UNIT_TILES * 16);  // from row to row of features and of units

extern "C" __global__ void __launch_bounds__(DT)
deep_dense(int n, const float* pooled, const u32* peaks, const float* dense, float* parts, const float* filters2,
           float* lengths) {
  constexpr int DOWN = TI / 16 < 4 ? TI / 16 : 4, MT = TI / 16 / DOWN;  // of the warps, and tiles of one
  constexpr int ACROSS = DWARPS / DOWN, NT = (UNIT_TILES + ACROSS - 1) / ACROSS;
  Cell *ps = (Cell*)SHARED, *ws = ps + TI * ES;
  const int slice = blockIdx.x % SLICES, share = blockIdx.x / SLICES, first = slice * SLICE;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, k = lane % 4;
  if (share >= SPLIT) {  // blocks that have time for something else
    const int c = (blockIdx.x - SLICES * SPLIT) * DWARPS + warp;
    follow();
    if (c < M2) note_length(filters2, c, lengths);
    return;
  }
  const int m0 = warp % DOWN * MT, n0 = warp / DOWN * NT;
  Staged<DT, SLICE, UNIT_TILES * 16, JS> weights;
  Staged<DT, TI, SLICE, ES> features;
  weights.load(dense + (size_t)first * HID, HID, FEATURES - first, HID);
  weights.store(ws, LARGER);
  follow();
  for (int from = share * TI; from < n; from += SPLIT * TI) {
    features.load(pooled + (size_t)from * FEATURES + first, FEATURES, n - from, FEATURES - first);
    const Scale by(__uint_as_float(peaks[1]));
    features.store(ps, by.by);
    __syncthreads();
    float sums[MT][2 * NT][4] = {};
#pragma unroll
    for (int f = 0; f < SLICE; f += 16) {
      Pair a[MT][4], b[NT][4];
#pragma unroll
      for (int m = 0; m < MT; m++) fetch<false>(a[m], ps + (m0 + m) * 16 * ES + f + sixteen_rows<ES>());
#pragma unroll
      for (int j = 0; j < NT; j++)
        fetch<true>(b[j], ws + f * JS + min(n0 + j, UNIT_TILES - 1) * 16 + sixteen_rows<JS>());
      multiply(sums, a, b);
    }
    const float back = by.back / LARGER;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int j = 0; j < 2 * NT; j++)
#pragma unroll
        for (int r = 0; r < 4; r += 2) {
          int i = from + (m0 + m) * 16 + r / 2 * 8 + g, unit = n0 * 16 + j * 8 + 2 * k;
          if (i < n && unit < HID)
            *(float2*)(parts + ((size_t)i * SLICES + slice) * HID + unit) =
                make_float2(sums[m][j][r] * back, sums[m][j][r + 1] * back);
        }
    __syncthreads();
  }
}

// The dense layer's way back: the gradient by the features, with its largest size, and Adam's step of BSLICE features'
// weights. Weights and averages are on their way from the start, and wait in shared memory as they are.
constexpr int VS = HID + 4, BES = row_of(BSLICE), FEATURE_TILES = BSLICE / 16, IMAGE_TILES = BTI / 16;

// A bound on the gradient by the dense layer's sums, from what it is made of: dz2, and the output layer's weights. In
// two parts, with a barrier between.
__device__ inline void note_bound(float* red, int n, const float* dz2, const float* W2) {
  float top = 0.f, weight = 0.f;
  for (int e = threadIdx.x; e < n * CLS; e += DT) top = fmaxf(top, fabsf(dz2[e]));
  for (int e = threadIdx.x; e < HID * CLS; e += DT) weight = fmaxf(weight, fabsf(W2[e]));
  top = warp_max(top), weight = warp_max(weight);
  if (threadIdx.x % 32 == 0) red[threadIdx.x / 32] = top, red[DWARPS + threadIdx.x / 32] = weight;
}
__device__ inline float bound_of(const float* red) {
  return CLS * warp_max(red[threadIdx.x % DWARPS]) * warp_max(red[DWARPS + threadIdx.x % DWARPS]);
}

extern "C" __global__ void __launch_bounds__(DT)
deep_dense_back(const int* step, int offset, int n, const float* table, const float* pooled, const float* dz1,
                const float* dz2, const float* W2, float scale, float* gradient, u32* peaks, float* dense, float* md,
                float* vd) {
  constexpr int GROUPS = larger(1, DWARPS / UNIT_TILES), GMT = (FEATURE_TILES + GROUPS - 1) / GROUPS;
  constexpr int PGROUPS = DWARPS / IMAGE_TILES, PNT = (FEATURE_TILES + PGROUPS - 1) / PGROUPS;
  float *wf = (float*)SHARED, *mf = wf + BSLICE * VS, *vf = mf + BSLICE * VS, *red = vf + BSLICE * VS;
  Cell *ds = (Cell*)(red + 2 * DWARPS), *ps = ds + BTI * JS, *ws = ps + BTI * BES;
  const int first = blockIdx.x * BSLICE, there = min(BSLICE, FEATURES - first);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, k = lane % 4;
  const size_t begin = (size_t)first * HID;
  fetch_rows<DT, HID, VS>(wf, dense + begin, there);
  fetch_done();
  fetch_rows<DT, HID, VS>(mf, md + begin, there);
  fetch_rows<DT, HID, VS>(vf, vd + begin, there);
  fetch_done();
  Staged<DT, BTI, UNIT_TILES * 16, JS> errors;
  Staged<DT, BTI, BSLICE, BES> features;
  features.load(pooled + first, FEATURES, n, FEATURES - first);
  const Scale by_p(__uint_as_float(peaks[1]));
  features.store(ps, by_p.by);
  follow();
  errors.load(dz1, HID, n, HID);
  note_bound(red, n, dz2, W2);
  if (there < BSLICE || HID % 16) clear<DT>(ws, BSLICE * JS);
  __syncthreads();
  const Scale by_d(bound_of(red) * scale);
  errors.store(ds, by_d.by);
  fetched<1>();
  for (int e = threadIdx.x; e < there * (HID / 4); e += DT) {  // those that this thread has fetched
    const int row = e / (HID / 4), column = e % (HID / 4) * 4;
    put_four(ws + row * JS + column, *(const float4*)(wf + row * VS + column), LARGER);
  }

  float dw[GMT][2][4] = {}, top = 0.f;
  const int unit_tile = warp % UNIT_TILES, gm = warp / UNIT_TILES * GMT, pm = warp % IMAGE_TILES;
  const int pn = warp / IMAGE_TILES * PNT;
  for (int from = 0; from < n; from += BTI) {
    if (from) {
      errors.load(dz1 + (size_t)from * HID, HID, n - from, HID);
      errors.store(ds, by_d.by);
      features.load(pooled + (size_t)from * FEATURES + first, FEATURES, n - from, FEATURES - first);
      features.store(ps, by_p.by);
    }
    __syncthreads();
#pragma unroll 2
    for (int i = 0; i < BTI; i += 16) {
      Pair a[GMT][4], b[1][4];
#pragma unroll
      for (int m = 0; m < GMT; m++)
        fetch<true>(a[m], ps + i * BES + min(gm + m, FEATURE_TILES - 1) * 16 + eight_rows<BES>());
      fetch<true>(b[0], ds + i * JS + unit_tile * 16 + sixteen_rows<JS>());
      multiply(dw, a, b);
    }
    float dp[1][2 * PNT][4] = {};
#pragma unroll 2
    for (int j = 0; j < UNIT_TILES * 16; j += 16) {
      Pair a[1][4], b[PNT][4];
      fetch<false>(a[0], ds + pm * 16 * JS + j + sixteen_rows<JS>());
#pragma unroll
      for (int f = 0; f < PNT; f++)
        fetch<false>(b[f], ws + min(pn + f, FEATURE_TILES - 1) * 16 * JS + j + eight_rows<JS>());
      multiply(dp, a, b);
    }
    const float back = by_d.back / LARGER;
#pragma unroll
    for (int q = 0; q < 2 * PNT; q++)
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        const int i = from + pm * 16 + r / 2 * 8 + g, f = pn * 16 + q * 8 + 2 * k;
        const float2 both = make_float2(dp[0][q][r] * back, dp[0][q][r + 1] * back);
        if (i < n && f < there)
          *(float2*)(gradient + (size_t)i * FEATURES + first + f) = both, top = fmaxf(top, fmaxf(fabsf(both.x), fabsf(both.y)));
      }
    __syncthreads();
  }
  top = warp_max(top);
  if (lane == 0) atomicMax(peaks, __float_as_uint(top));  // the order of positive floats is that of their bits
  fetched<0>();
  __syncthreads();
  const Adam adam(table + ((size_t)(*step + offset) * LAYERS + LAYERS - 2) * NUMBERS);
  const float back = by_p.back * by_d.back;
#pragma unroll
  for (int m = 0; m < GMT; m++)
#pragma unroll
    for (int j = 0; j < 2; j++)
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        const int f = (gm + m) * 16 + r / 2 * 8 + g, unit = unit_tile * 16 + j * 8 + 2 * k, at = f * VS + unit;
        if (gm + m >= FEATURE_TILES || f >= there || unit >= HID) continue;
        float2 w = *(float2*)(wf + at), mean = *(float2*)(mf + at), square = *(float2*)(vf + at);
        adam.step(dw[m][j][r] * back, w.x, mean.x, square.x);
        adam.step(dw[m][j][r + 1] * back, w.y, mean.y, square.y);
        *(float2*)(wf + at) = w, *(float2*)(mf + at) = mean, *(float2*)(vf + at) = square;
      }
  __syncthreads();
  for (int e = threadIdx.x; e < there * (HID / 4); e += DT) {  // rows to memory in one stretch
    const int at = e / (HID / 4) * VS + e % (HID / 4) * 4;
    const size_t to = begin + 4 * e;
    *(float4*)(dense + to) = *(float4*)(wf + at);
    *(float4*)(md + to) = *(float4*)(mf + at), *(float4*)(vd + to) = *(float4*)(vf + at);
  }
}
