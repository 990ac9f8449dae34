// A training step of a net of two convolutions (stride 1, ReLU), a max pooling whose windows lie beside each other, a
// dense layer with ReLU and an output layer, in seven kernels. There may be a pooling of that kind between the
// convolutions, too, and dropout before either of the last two layers.
//
// The first convolution, with its pooling, has few multiplications: each block computes what it needs of it. The second
// one is a product of matrices whose columns are never laid out: the tensor cores' fragments are read from the images
// themselves, as halves (see halves.cu). Its gradient by the sums is zero but for one pixel of a pooling window and is
// spread out in shared memory only.
//
// Constants: C H W, M1 K1H K1W PAD1Y PAD1X Z1H Z1W (first convolution), P1 H1 W1 (its pooling, 1 for none), M2 K2H K2W
// PAD2Y PAD2X H2 W2 (second), P QH QW (pooling), those of head.cu, REST_PARTS (threads that share the images in
// deep_learn), TENSOR, PRECISE (whether sums of the second convolution that rounding could put in another order are
// computed once more). How blocks are cut: R, RD, RW (rows of a block in deep_forward, deep_pixels, deep_filters),
// SLICE, TI, SPLIT (features of a block in deep_dense, images at a time, blocks that share the images), BSLICE, BTI
// (those of deep_dense_back), FWARPS, PWARPS (warps of a block in deep_forward and deep_pixels), FWN, DWN (how many of
// these share the filters or channels).

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
  // In two parts, with a barrier between: a bound on what the first layer gives for this image. `red` has 3·WARPS
  // numbers.
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
  // padding. Gives the largest that this thread put down; `kept` gets the places in the first pooling's windows that
  // gradients go to, as (row, column, channel) without padding.
  template <int STRIDE>
  __device__ float apply(Cell* out, const float* xs, int first, int rows, float by, u8* kept) const {
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
          if (inside)
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
