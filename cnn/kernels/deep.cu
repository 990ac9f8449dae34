// A training step of a net of two convolutions (stride 1, ReLU), a max pooling whose windows lie beside each other, a
// dense layer with ReLU and an output layer, in seven kernels. There may be a pooling of that kind between the
// convolutions, too, and dropout before either of the last two layers.
//
// The first convolution, with its pooling, has few multiplications and is computed again wherever its images are needed, which costs less
// than fetching them. The second one is a product of matrices whose columns are never laid out: the tensor cores'
// fragments are read from the images themselves. Its gradient by the sums is zero but for one pixel of a pooling window
// and is spread out in shared memory only.
//
// Constants: C H W, M1 K1H K1W PAD1Y PAD1X Z1H Z1W (first convolution), P1 H1 W1 (its pooling, 1 for none), M2 K2H K2W PAD2Y PAD2X H2 W2 (second), P QH QW
// (pooling), SLICE (features of a part of the dense layer), those of head.cu, TENSOR, PRECISE (whether the
// second convolution's sums are compensated: which pixel of a window is the largest hangs on them); and how blocks are cut: R, RD, RW
// (rows of a block in deep_forward, deep_pixels, deep_filters), OC (channels at a time in deep_pixels), TI (images at a
// time in the dense kernels), FWN, DWN (warps side by side along the channels in deep_forward and deep_pixels).

constexpr int FEATURES = M2 * QH * QW, PLANE = QH * QW;
constexpr int TAPS1 = C * K1H * K1W, TAPS2 = K2H * K2W, DEPTH = M1 * TAPS2;
constexpr int XH = Z1H + K1H - 1, XW = Z1W + K1W - 1, XS = XW + 4, IMAGE = round_up(C * XH * XS, 4);
constexpr int AW = W2 + K2W - 1;  // columns of the second convolution's input, with padding
constexpr int STEP = 4 / P1;      // pixels of it in a strip
constexpr u8 NOWHERE = 255;       // the place of a window whose largest value ReLU cuts off, or that dropout drops

// One image, with the first convolution's padding.
template <int T>
__device__ void fetch_image(float* xs, const float* x, const Move& move) {
  for (int e = threadIdx.x; e < C * XH * XS; e += T) {
    int c = e / (XH * XS), y = e / XS % XH - PAD1Y, col = e % XS - PAD1X;
    xs[e] = y >= 0 && y < H && col >= 0 && col < W ? move.see(x + c * H * W, y, col) : 0.f;
  }
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
        float seen[K1W + 3];
#pragma unroll
        for (int k = 0; k < K1W + 3; k++) seen[k] = line[PAD2X > 0 ? max(0, min(x * P1 + k, XS - 1)) : x * P1 + k];
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

// `rows` rows of the second convolution's input from row `first` on, as (row, column, channel), with its padding.
template <int T, int STRIDE, bool ROUNDED = true>
__device__ void first_layer(float* out, const float* xs, const float* filters, const float* biases, int first,
                            int rows) {
  constexpr int STRIPS = (AW + STEP - 1) / STEP, UNITS = T / M1;
  const int c = threadIdx.x % M1, unit = threadIdx.x / M1;
  float w[TAPS1];
#pragma unroll
  for (int k = 0; k < TAPS1; k++) w[k] = filters[c * TAPS1 + k];
  const float bias = biases[c];
  for (int s = unit; unit < UNITS && s < rows * STRIPS; s += UNITS) {
    const int i = s / STRIPS, j = s % STRIPS * STEP, y = first + i, x = j - PAD2X;
    const Strip strip(xs, w, bias, max(0, min(y, H1 - 1)), x);
#pragma unroll
    for (int q = 0; q < STEP; q++)
      if (j + q < AW) {
        int place;
        bool inside = y >= 0 && y < H1 && x + q >= 0 && x + q < W1;
        const float value = inside ? relu(strip.largest(q, place)) : 0.f;
        out[(i * AW + j + q) * STRIDE + c] = ROUNDED ? tf32(value) : value;
      }
  }
}

// The gradient by the second convolution's sums in rows first … first + rows, channels from `channel` on: out(row,
// column, channel) with MARGIN columns of zeros on the left; what is written is all the pooling windows reach.
template <int T, int CHANNELS, int WIDTH, int STRIDE, int MARGIN>
__device__ void spread(float* out, const float* gradient, const u8* places, float scale, int channel, int first,
                       int rows) {
  const int low = max(0, first / P - (first < 0)), high = min(QH, (first + rows + P - 1) / P);
  constexpr int ACROSS = (QW + 3) / 4;
  const int all = (high - low) * ACROSS * CHANNELS * 4;
  constexpr int BATCH = 4;  // on their way at once
  for (int from = threadIdx.x; from < all; from += BATCH * T) {
    float g[BATCH];
    int place[BATCH];
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      int e = from + b * T, group = e / 32, c = group % (CHANNELS / 8) * 8 + e / 4 % 8, rest = group / (CHANNELS / 8);
      int px = rest % ACROSS * 4 + e % 4, at = (channel + c) * PLANE + (low + rest / ACROSS) * QW + px;
      bool there = e < all && px < QW;
      place[b] = there ? places[at] : NOWHERE, g[b] = there ? gradient[at] : 0.f;
    }
#pragma unroll
    for (int b = 0; b < BATCH; b++) {
      int e = from + b * T, group = e / 32, c = group % (CHANNELS / 8) * 8 + e / 4 % 8, rest = group / (CHANNELS / 8);
      int px = rest % ACROSS * 4 + e % 4, py = low + rest / ACROSS;
      if (e >= all || px >= QW) continue;
#pragma unroll
      for (int k = 0; k < P * P; k++) {
        int row = py * P + k / P - first;
        if (row >= 0 && row < rows)
          out[(row * WIDTH + MARGIN + px * P + k % P) * STRIDE + c] = place[b] == k ? tf32(g[b] * scale) : 0.f;
      }
    }
  }
}

template <int T>
__device__ void clear(float* out, int count) {
  for (int e = threadIdx.x; e < count; e += T) out[e] = 0.f;
}

// Both convolutions, ReLU, pooling and dropout: R rows of the second convolution of one image a block.
constexpr int FT = 384, FWM = FT / 32 / FWN, FMT = (round_up(R * W2, 16) / 16 + FWM - 1) / FWM;
constexpr int FNT = (M2 / 8 + FWN - 1) / FWN;
constexpr int FAS = M1 + 4, FWS = DEPTH + 4, FOS = M2 + 9, FRP = R / P;
constexpr int FORWARD_TILES = (QH + FRP - 1) / FRP;

extern "C" __global__ void __launch_bounds__(FT)
deep_forward(const float* x, const int* images, const int* step, int offset, int batch, const float* filters1,
             const float* biases1, const float* filters2, const float* biases2, u32 seed, u32 below, float scale,
             float* pooled, u8* places) {
  float* shared = (float*)SHARED;
  float *xs = shared, *as = xs + IMAGE, *ws = as + (R + K2H - 1) * AW * FAS, *out = as;
  u8* fallen = (u8*)(as + larger((R + K2H - 1) * AW * FAS + M2 * FWS, round_up(R * W2, 16) * FOS));
  const int t = threadIdx.x, tile = blockIdx.x % FORWARD_TILES, i = blockIdx.x / FORWARD_TILES;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const Dropout dropout{seed, u32(step[1] + step[0] + offset), below, scale};
  const int image = images[i];
  fetch_image<FT>(xs, x + (size_t)image * C * H * W, MOVED ? Move(i, step, offset) : Move());
  stage<FT, M2, DEPTH, FWS, !PRECISE>(ws, filters2, DEPTH);
  __syncthreads();
  first_layer<FT, FAS, !PRECISE>(as, xs, filters1, biases1, tile * R - PAD2Y, R + K2H - 1);
  __syncthreads();

  const int m0 = warp % FWM * FMT, n0 = warp / FWM * FNT;
  int base[FMT][2];  // of the rows that this lane holds
#pragma unroll
  for (int m = 0; m < FMT; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int p = min((m0 + m) * 16 + h * 8 + g, R * W2 - 1);
      base[m][h] = (p / W2 * AW + p % W2) * FAS + k;
    }
  float sums[FMT][FNT][4] = {};
  for (int tap = 0; tap < TAPS2; tap++) {
    const float *seen = as + (tap / K2W * AW + tap % K2W) * FAS, *w = ws + k * TAPS2 + tap;
#pragma unroll 4
    for (int c = 0; c < M1; c += 8)
      multiply_add<PRECISE>(
          sums,
          [&](int m, float(&a)[4]) {
            a[0] = seen[base[m][0] + c], a[1] = seen[base[m][1] + c];
            a[2] = seen[base[m][0] + c + 4], a[3] = seen[base[m][1] + c + 4];
          },
          [&](int n, float(&b)[2]) {
            const float* column = w + min((n0 + n) * 8 + g, M2 - 1) * FWS + c * TAPS2;
            b[0] = column[0], b[1] = column[4 * TAPS2];
          });
  }
  __syncthreads();
#pragma unroll
  for (int m = 0; m < FMT; m++)
#pragma unroll
    for (int n = 0; n < FNT; n++)
#pragma unroll
      for (int r = 0; r < 4; r++) {
        int p = (m0 + m) * 16 + r / 2 * 8 + g, c = (n0 + n) * 8 + 2 * k + r % 2;
        if (p < R * W2 && c < M2) out[p * FOS + c] = sums[m][n][r];
      }
  constexpr int RUN = FRP * QW;  // pooled pixels of a channel
  constexpr bool FOURS = PLANE % 4 == 0 && RUN % 4 == 0;
  const u32 first = i * FEATURES + tile * RUN;
  if (FOURS && below)
    for (int e = t; e < M2 * RUN / 4; e += FT) {
      int c = e / (RUN / 4), at = e % (RUN / 4) * 4;
      Drawn drawn = philox((first + c * PLANE + at) / 4, dropout.step, seed);
#pragma unroll
      for (int q = 0; q < 4; q++) fallen[c * RUN + at + q] = drawn.number[q] < below;
    }
  __syncthreads();
  for (int e = t; e < M2 * RUN; e += FT) {
    int c = e / RUN, at = e % RUN, py = at / QW, px = at % QW;
    if (tile * FRP + py >= QH) continue;
    const float* window = out + (py * P * W2 + px * P) * FOS + c;
    float best = window[0];
    int place = 0;
#pragma unroll
    for (int q = 1; q < P * P; q++) {
      float z = window[(q / P * W2 + q % P) * FOS];
      if (z > best || (z != z && best == best)) best = z, place = q;
    }
    best += biases2[c];
    const u32 feature = first + c * PLANE + at;
    const bool gone = FOURS ? below && fallen[e] : dropout.drops(feature);
    pooled[feature] = gone ? 0.f : relu(best) * scale;
    places[feature] = gone || best <= 0.f ? NOWHERE : place;
  }
}

// The dense layer's sums in parts: SLICE features of all images a block.
constexpr int BT = 256;  // threads of a block in this kernel and those below
constexpr int DWM = TI / 16 < 4 ? TI / 16 : 4, DWNS = 8 / DWM, DMT = TI / 16 / DWM;
constexpr int DNT = (HID / 8 + DWNS - 1) / DWNS;
constexpr int PS = SLICE + 4, WS = HID + 8;

extern "C" __global__ void __launch_bounds__(BT)
deep_dense(int n, const float* pooled, const float* dense, float* parts) {
  float *ps = (float*)SHARED, *ws = ps + TI * PS;
  const int t = threadIdx.x, slice = blockIdx.x, first = slice * SLICE;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int m0 = warp % DWM * DMT, n0 = warp / DWM * DNT;
  stage<BT, SLICE, HID, WS>(ws, dense + (size_t)first * HID, HID, FEATURES - first);
  for (int from = 0; from < n; from += TI) {
    stage<BT, TI, SLICE, PS>(ps, pooled + (size_t)from * FEATURES + first, FEATURES, n - from, FEATURES - first);
    __syncthreads();
    float sums[DMT][DNT][4] = {};
#pragma unroll 2
    for (int f = 0; f < SLICE; f += 8)
      multiply_add(
          sums,
          [&](int m, float(&a)[4]) {
            const float* row = ps + ((m0 + m) * 16 + g) * PS + f + k;
            a[0] = row[0], a[1] = row[8 * PS], a[2] = row[4], a[3] = row[8 * PS + 4];
          },
          [&](int j, float(&b)[2]) {
            const float* column = ws + (f + k) * WS + min((n0 + j) * 8, HID - 8) + g;
            b[0] = column[0], b[1] = column[4 * WS];
          });
#pragma unroll
    for (int m = 0; m < DMT; m++)
#pragma unroll
      for (int j = 0; j < DNT; j++)
#pragma unroll
        for (int r = 0; r < 4; r += 2) {
          int i = from + (m0 + m) * 16 + r / 2 * 8 + g, unit = (n0 + j) * 8 + 2 * k;
          if (i < n && unit < HID)
            *(float2*)(parts + ((size_t)i * SLICES + slice) * HID + unit) = make_float2(sums[m][j][r], sums[m][j][r + 1]);
        }
    __syncthreads();
  }
}

// The dense layer's way back: the gradient by the features, and Adam's step of SLICE features' weights.
constexpr int ES = SLICE + 8, JS = HID + 8, VS = HID + 4;  // strides of features, of gradients, of weights
constexpr int GMT = SLICE / 32, GNT = (HID / 8 + 3) / 4;   // of the weights' gradient, by 2×4 warps
constexpr int PNT = SLICE / 8 / DWNS;                      // of the features' gradient, by DWM×DWNS warps

extern "C" __global__ void __launch_bounds__(BT, 2)
deep_dense_back(const int* step, int offset, int n, const float* table, const float* pooled, const float* dz1,
                float* gradient, float* dense, float* md, float* vd) {
  float *ds = (float*)SHARED, *ps = ds + TI * JS, *ws = ps + TI * ES;
  const int t = threadIdx.x, first = blockIdx.x * SLICE;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  stage<BT, SLICE, HID, VS>(ws, dense + (size_t)first * HID, HID, FEATURES - first);
  float dw[GMT][GNT][4] = {};
  const int gm = warp % 2 * GMT, gn = warp / 2 * GNT, pm = warp % DWM * DMT, pn = warp / DWM * PNT;
  for (int from = 0; from < n; from += TI) {
    stage<BT, TI, HID, JS>(ds, dz1 + (size_t)from * HID, HID, n - from);
    stage<BT, TI, SLICE, ES>(ps, pooled + (size_t)from * FEATURES + first, FEATURES, n - from, FEATURES - first);
    __syncthreads();
#pragma unroll 2
    for (int i = 0; i < TI; i += 8)
      multiply_add(
          dw,
          [&](int m, float(&a)[4]) {
            const float* row = ps + (i + k) * ES + (gm + m) * 16 + g;
            a[0] = row[0], a[1] = row[8], a[2] = row[4 * ES], a[3] = row[4 * ES + 8];
          },
          [&](int j, float(&b)[2]) {
            const float* column = ds + (i + k) * JS + min((gn + j) * 8, HID - 8) + g;
            b[0] = column[0], b[1] = column[4 * JS];
          });
    float dp[DMT][PNT][4] = {};
#pragma unroll 2
    for (int j = 0; j < HID; j += 8)
      multiply_add(
          dp,
          [&](int m, float(&a)[4]) {
            const float* row = ds + ((pm + m) * 16 + g) * JS + j + k;
            a[0] = row[0], a[1] = row[8 * JS], a[2] = row[4], a[3] = row[8 * JS + 4];
          },
          [&](int f, float(&b)[2]) {
            const float* column = ws + ((pn + f) * 8 + g) * VS + j + k;
            b[0] = column[0], b[1] = column[4];
          });
#pragma unroll
    for (int m = 0; m < DMT; m++)
#pragma unroll
      for (int q = 0; q < PNT; q++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
          int i = from + (pm + m) * 16 + r / 2 * 8 + g, f = first + (pn + q) * 8 + 2 * k + r % 2;
          if (i < n && f < FEATURES) gradient[(size_t)i * FEATURES + f] = dp[m][q][r];
        }
    __syncthreads();
  }
  const Adam adam(table + ((size_t)(*step + offset) * LAYERS + LAYERS - 2) * NUMBERS);
#pragma unroll
  for (int m = 0; m < GMT; m++)
#pragma unroll
    for (int r = 0; r < 4; r += 2) {  // all is fetched before anything is stored: stores hold back later loads
      const int f = first + (gm + m) * 16 + r / 2 * 8 + g;
      const size_t row = (size_t)f * HID + gn * 8 + 2 * k;
      float2 w[GNT], mean[GNT], square[GNT];
#pragma unroll
      for (int j = 0; j < GNT; j++)
        if (f < FEATURES && (gn + j) * 8 < HID) {
          w[j] = *(float2*)(dense + row + j * 8);
          mean[j] = *(float2*)(md + row + j * 8), square[j] = *(float2*)(vd + row + j * 8);
        }
#pragma unroll
      for (int j = 0; j < GNT; j++)
        if (f < FEATURES && (gn + j) * 8 < HID) {
          adam.step(dw[m][j][r], w[j].x, mean[j].x, square[j].x);
          adam.step(dw[m][j][r + 1], w[j].y, mean[j].y, square[j].y);
          *(float2*)(dense + row + j * 8) = w[j];
          *(float2*)(md + row + j * 8) = mean[j], *(float2*)(vd + row + j * 8) = square[j];
        }
    }
}
