// A training step of a net of two convolutions (stride 1, ReLU), a max pooling whose windows lie beside each other, a
// dense layer with ReLU and an output layer, with dropout before either of the last two or without: in seven kernels.
//
// The first convolution has few multiplications and is computed again wherever its images are needed, which costs less
// than fetching them. The second one is a product of matrices whose columns are never laid out: the tensor cores'
// fragments are read from the images themselves. Its gradient by the sums is zero but for one pixel of a pooling window
// and is spread out in shared memory only.
//
// Constants: C H W, M1 K1H K1W PAD1Y PAD1X H1 W1 (first convolution), M2 K2H K2W PAD2Y PAD2X H2 W2 (second), P QH QW
// (pooling), SLICE (features of a part of the dense layer), those of head.cu, TENSOR; and how blocks are cut: R, RD, RW
// (rows of a block in deep_forward, deep_pixels, deep_filters), OC (channels at a time in deep_pixels), TI (images at a
// time in the dense kernels), FWN, DWN (warps side by side along the channels in deep_forward and deep_pixels).

constexpr int FEATURES = M2 * QH * QW, PLANE = QH * QW;
constexpr int TAPS1 = C * K1H * K1W, TAPS2 = K2H * K2W, DEPTH = M1 * TAPS2;
constexpr int XH = H1 + K1H - 1, XW = W1 + K1W - 1, XS = XW + 4, IMAGE = round_up(C * XH * XS, 4);
constexpr int AW = W2 + K2W - 1;  // columns of the first convolution's output, with padding
constexpr u8 NOWHERE = 255;       // the place of a window whose largest value ReLU cuts off, or that dropout drops

// One image, with the first convolution's padding.
template <int T>
__device__ void fetch_image(float* xs, const float* x) {
  for (int e = threadIdx.x; e < C * XH * XS; e += T) {
    int c = e / (XH * XS), y = e / XS % XH - PAD1Y, col = e % XS - PAD1X;
    xs[e] = y >= 0 && y < H && col >= 0 && col < W ? x[(c * H + y) * W + col] : 0.f;
  }
}

// Four neighbouring sums of the first convolution, before ReLU, and what they see.
struct Strip {
  float z[4], seen[TAPS1 / K1W][K1W + 3];
  __device__ Strip(const float* xs, const float (&w)[TAPS1], float bias, int y, int x) {
#pragma unroll
    for (int k = 0; k < 4; k++) z[k] = bias;
#pragma unroll
    for (int row = 0; row < TAPS1 / K1W; row++) {
      const float* line = xs + (row / K1H * XH + y + row % K1H) * XS;
#pragma unroll
      for (int k = 0; k < K1W + 3; k++) seen[row][k] = line[PAD2X > 0 ? max(0, min(x + k, XS - 1)) : x + k];
#pragma unroll
      for (int tap = 0; tap < K1W; tap++)
#pragma unroll
        for (int k = 0; k < 4; k++) z[k] += w[row * K1W + tap] * seen[row][k + tap];
    }
  }
};

// `rows` rows of the first layer's output from row `first` on, as (row, column, channel) with the second one's padding.
template <int T, int STRIDE>
__device__ void first_layer(float* out, const float* xs, const float* filters, const float* biases, int first,
                            int rows) {
  constexpr int STRIPS = (AW + 3) / 4, UNITS = T / M1;
  const int c = threadIdx.x % M1, unit = threadIdx.x / M1;
  float w[TAPS1];
#pragma unroll
  for (int k = 0; k < TAPS1; k++) w[k] = filters[c * TAPS1 + k];
  const float bias = biases[c];
  for (int s = unit; unit < UNITS && s < rows * STRIPS; s += UNITS) {
    const int i = s / STRIPS, j = s % STRIPS * 4, y = first + i, x = j - PAD2X;
    const Strip strip(xs, w, bias, max(0, min(y, H1 - 1)), x);
#pragma unroll
    for (int k = 0; k < 4; k++)
      if (j + k < AW) {
        bool inside = y >= 0 && y < H1 && x + k >= 0 && x + k < W1;
        out[(i * AW + j + k) * STRIDE + c] = inside ? tf32(relu(strip.z[k])) : 0.f;
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
  for (int e = threadIdx.x; e < (high - low) * ACROSS * CHANNELS * 4; e += T) {
    int group = e / 32, c = group % (CHANNELS / 8) * 8 + e / 4 % 8, rest = group / (CHANNELS / 8);
    int px = rest % ACROSS * 4 + e % 4, py = low + rest / ACROSS;
    if (px >= QW) continue;
    int at = (channel + c) * PLANE + py * QW + px, place = places[at];
    float g = place == NOWHERE ? 0.f : tf32(gradient[at] * scale);
#pragma unroll
    for (int k = 0; k < P * P; k++) {
      int row = py * P + k / P - first;
      if (row >= 0 && row < rows) out[(row * WIDTH + MARGIN + px * P + k % P) * STRIDE + c] = place == k ? g : 0.f;
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
deep_forward(const float* x, const int* orders, const int* step, int offset, int batch, const float* filters1,
             const float* biases1, const float* filters2, const float* biases2, u32 seed, u32 below, float scale,
             float* pooled, u8* places) {
  float* shared = (float*)SHARED;
  float *xs = shared, *as = xs + IMAGE, *ws = as + (R + K2H - 1) * AW * FAS, *out = as;
  u8* fallen = (u8*)(as + larger((R + K2H - 1) * AW * FAS + M2 * FWS, round_up(R * W2, 16) * FOS));
  const int t = threadIdx.x, tile = blockIdx.x % FORWARD_TILES, i = blockIdx.x / FORWARD_TILES;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const Dropout dropout{seed, u32(step[1] + step[0] + offset), below, scale};
  const int image = orders[(size_t)(step[0] + offset) * batch + i];
  fetch_image<FT>(xs, x + (size_t)image * C * H * W);
  for (int e = t; e < M2 * DEPTH; e += FT) ws[e / DEPTH * FWS + e % DEPTH] = tf32(filters2[e]);
  __syncthreads();
  first_layer<FT, FAS>(as, xs, filters1, biases1, tile * R - PAD2Y, R + K2H - 1);
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
      multiply_add(
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
  for (int e = t; e < SLICE * HID; e += BT)
    ws[e / HID * WS + e % HID] = first + e / HID < FEATURES ? tf32(dense[(size_t)first * HID + e]) : 0.f;
  for (int from = 0; from < n; from += TI) {
    for (int e = t; e < TI * SLICE; e += BT) {
      int i = from + e / SLICE, f = first + e % SLICE;
      ps[e / SLICE * PS + e % SLICE] = i < n && f < FEATURES ? tf32(pooled[(size_t)i * FEATURES + f]) : 0.f;
    }
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
  for (int e = t; e < SLICE * HID; e += BT)
    ws[e / HID * VS + e % HID] = first + e / HID < FEATURES ? tf32(dense[(size_t)first * HID + e]) : 0.f;
  float dw[GMT][GNT][4] = {};
  const int gm = warp % 2 * GMT, gn = warp / 2 * GNT, pm = warp % DWM * DMT, pn = warp / DWM * PNT;
  for (int from = 0; from < n; from += TI) {
    for (int e = t; e < TI * HID; e += BT)
      ds[e / HID * JS + e % HID] = from + e / HID < n ? tf32(dz1[(size_t)from * HID + e]) : 0.f;
    for (int e = t; e < TI * SLICE; e += BT) {
      int i = from + e / SLICE, f = first + e % SLICE;
      ps[e / SLICE * ES + e % SLICE] = i < n && f < FEATURES ? tf32(pooled[(size_t)i * FEATURES + f]) : 0.f;
    }
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
    for (int j = 0; j < GNT; j++)
#pragma unroll
      for (int r = 0; r < 4; r += 2) {
        int f = first + (gm + m) * 16 + r / 2 * 8 + g, unit = (gn + j) * 8 + 2 * k;
        if (f >= FEATURES || unit >= HID) continue;
        size_t at = (size_t)f * HID + unit;
        float2 w = *(float2*)(dense + at), mean = *(float2*)(md + at), square = *(float2*)(vd + at);
        adam.step(dw[m][j][r], w.x, mean.x, square.x);
        adam.step(dw[m][j][r + 1], w.y, mean.y, square.y);
        *(float2*)(dense + at) = w, *(float2*)(md + at) = mean, *(float2*)(vd + at) = square;
      }
}

// The gradient by the first layer's outputs, RD rows of an image a block, and what it says to the first filters.
constexpr int PW = W1 + K2W - 1, PR = RD + K2H - 1;  // the second convolution's gradient with a margin of zeros
constexpr int PDS = OC + 4, PWS = round_up(DEPTH, 32) + 8, POS = M1 + 1;
constexpr int PWM = BT / 32 / DWN, PMT = (round_up(RD * W1, 16) / 16 + PWM - 1) / PWM, PCT = (M1 / 8 + DWN - 1) / DWN;
constexpr int PIXEL_TILES = (H1 + RD - 1) / RD;

extern "C" __global__ void __launch_bounds__(BT)
deep_pixels(const float* x, const int* orders, const int* step, int offset, int batch, const float* filters1,
            const float* biases1, const float* filters2, float scale, const float* gradient, const u8* places,
            float* sums1) {
  float* shared = (float*)SHARED;
  float *xs = shared, *ds = xs + IMAGE, *ws = ds + PR * PW * PDS, *out = ds;
  const int t = threadIdx.x, tile = blockIdx.x % PIXEL_TILES, i = blockIdx.x / PIXEL_TILES, first = tile * RD;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int image = orders[(size_t)(step[0] + offset) * batch + i];
  fetch_image<BT>(xs, x + (size_t)image * C * H * W);
  const int m0 = warp % PWM * PMT, n0 = warp / PWM * PCT;
  int base[PMT][2];
#pragma unroll
  for (int m = 0; m < PMT; m++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int p = min((m0 + m) * 16 + h * 8 + g, RD * W1 - 1);
      base[m][h] = (p / W1 * PW + p % W1) * PDS + k;
    }
  float sums[PMT][PCT][4] = {};
  clear<BT>(ds, PR * PW * PDS);
  for (int channel = 0; channel < M2; channel += OC) {
    __syncthreads();
    // Row r of `ds` is row first + PAD2Y - (K2H - 1) + r of the second convolution, column c its c + PAD2X - (K2W - 1).
    spread<BT, OC, PW, PDS, K2W - 1 - PAD2X>(ds, gradient + (size_t)i * FEATURES, places + (size_t)i * FEATURES, scale,
                                             channel, first + PAD2Y - (K2H - 1), PR);
    for (int e = t; e < OC * DEPTH; e += BT) ws[e / DEPTH * PWS + e % DEPTH] = tf32(filters2[channel * DEPTH + e]);
    __syncthreads();
    for (int tap = 0; tap < TAPS2; tap++) {
      const float* seen = ds + ((K2H - 1 - tap / K2W) * PW + K2W - 1 - tap % K2W) * PDS;
      const float* w = ws + k * PWS + tap;
#pragma unroll
      for (int o = 0; o < OC; o += 8)
        multiply_add(
            sums,
            [&](int m, float(&a)[4]) {
              a[0] = seen[base[m][0] + o], a[1] = seen[base[m][1] + o];
              a[2] = seen[base[m][0] + o + 4], a[3] = seen[base[m][1] + o + 4];
            },
            [&](int n, float(&b)[2]) {
              const float* column = w + o * PWS + min((n0 + n) * 8 + g, M1 - 1) * TAPS2;
              b[0] = column[0], b[1] = column[4 * PWS];
            });
    }
  }
  __syncthreads();
#pragma unroll
  for (int m = 0; m < PMT; m++)
#pragma unroll
    for (int n = 0; n < PCT; n++)
#pragma unroll
      for (int r = 0; r < 4; r++) {
        int p = (m0 + m) * 16 + r / 2 * 8 + g, c = (n0 + n) * 8 + 2 * k + r % 2;
        if (p < RD * W1 && c < M1) out[p * POS + c] = sums[m][n][r];
      }
  __syncthreads();

  // The first filters' gradient, a channel and a part of the strips a thread; where ReLU cut off, nothing comes back.
  constexpr int STRIPS = (W1 + 3) / 4, UNITS = BT / M1;
  const int c = t % M1, unit = t / M1, rows = min(RD, H1 - first);
  float w[TAPS1], taps[TAPS1 + 1] = {};
#pragma unroll
  for (int q = 0; q < TAPS1; q++) w[q] = filters1[c * TAPS1 + q];
  for (int s = unit; unit < UNITS && s < rows * STRIPS; s += UNITS) {
    const int y = s / STRIPS, col = s % STRIPS * 4;
    const Strip strip(xs, w, biases1[c], first + y, col);
#pragma unroll
    for (int q = 0; q < 4; q++) {
      float d = col + q < W1 && strip.z[q] > 0.f ? out[(y * W1 + col + q) * POS + c] : 0.f;
#pragma unroll
      for (int tap = 0; tap < TAPS1; tap++) taps[tap] += d * strip.seen[tap / K1W][q + tap % K1W];
      taps[TAPS1] += d;
    }
  }
  __syncthreads();
  if (unit < UNITS)
#pragma unroll
    for (int q = 0; q <= TAPS1; q++) out[(unit * M1 + c) * (TAPS1 + 1) + q] = taps[q];
  __syncthreads();
  for (int e = t; e < M1 * (TAPS1 + 1); e += BT) {
    float sum = 0.f;
    for (int u = 0; u < UNITS; u++) sum += out[u * M1 * (TAPS1 + 1) + e];
    sums1[(size_t)blockIdx.x * M1 * (TAPS1 + 1) + e] = sum;
  }
}

// The second filters' gradient, in as many parts as there are blocks; two warps a tap, half of the filters each.
constexpr int WT = 64 * TAPS2, WMT = M2 / 32, WNT = M1 / 8;
constexpr int WAS = M1 + 8, WDS = M2 + 8, WW = round_up(W2, 8), WA = (RW + K2H - 1) * AW + 8;
constexpr int FILTER_TILES = (H2 + RW - 1) / RW;

extern "C" __global__ void __launch_bounds__(WT)
deep_filters(const float* x, const int* orders, const int* step, int offset, int batch, int n, const float* filters1,
             const float* biases1, float scale, const float* gradient, const u8* places, float* sums2, float* sumsb) {
  float* shared = (float*)SHARED;
  float *xs = shared, *as = xs + IMAGE, *ds = as + WA * WAS;
  const int t = threadIdx.x, lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int tap = warp / 2, m0 = warp % 2 * WMT, o = t % M2, part = t / M2;
  constexpr int PARTS2 = WT / M2;
  float sums[WMT][WNT][4] = {}, bias = 0.f;
  clear<WT>(ds, RW * WW * WDS);
  clear<WT>(as, WA * WAS);
  for (int item = blockIdx.x; item < n * FILTER_TILES; item += gridDim.x) {
    const int i = item / FILTER_TILES, first = item % FILTER_TILES * RW;
    const int image = orders[(size_t)(step[0] + offset) * batch + i];
    __syncthreads();
    fetch_image<WT>(xs, x + (size_t)image * C * H * W);
    if (H2 % RW || RW % P) clear<WT>(ds, RW * WW * WDS);
    __syncthreads();
    first_layer<WT, WAS>(as, xs, filters1, biases1, first - PAD2Y, RW + K2H - 1);
    spread<WT, M2, WW, WDS, 0>(ds, gradient + (size_t)i * FEATURES, places + (size_t)i * FEATURES, scale, 0, first, RW);
    __syncthreads();
    if (part < PARTS2)
      for (int p = part; p < RW * WW; p += PARTS2) bias += ds[p * WDS + o];
    const float *row = ds + k * WDS + m0 * 16 + g, *column = as + (tap / K2W * AW + tap % K2W + k) * WAS + g;
#pragma unroll 2
    for (int y = 0; y < RW; y++)
#pragma unroll
      for (int q = 0; q < WW; q += 8)
        multiply_add(
            sums,
            [&](int m, float(&a)[4]) {
              const float* at = row + (y * WW + q) * WDS + m * 16;
              a[0] = at[0], a[1] = at[8], a[2] = at[4 * WDS], a[3] = at[4 * WDS + 8];
            },
            [&](int c, float(&b)[2]) {
              const float* at = column + (y * AW + q) * WAS + c * 8;
              b[0] = at[0], b[1] = at[4 * WAS];
            });
  }
  float* mine = sums2 + (size_t)blockIdx.x * M2 * DEPTH;  // as (tap, filter, channel)
#pragma unroll
  for (int m = 0; m < WMT; m++)
#pragma unroll
    for (int c = 0; c < WNT; c++)
#pragma unroll
      for (int r = 0; r < 4; r += 2)
        *(float2*)(mine + (tap * M2 + (m0 + m) * 16 + r / 2 * 8 + g) * M1 + c * 8 + 2 * k) =
            make_float2(sums[m][c][r], sums[m][c][r + 1]);
  __syncthreads();
  ds[t] = bias;
  __syncthreads();
  if (t < M2) {
    for (int q = 1; q < PARTS2; q++) bias += ds[q * M2 + t];
    sumsb[blockIdx.x * M2 + t] = bias;
  }
}

// Adam's step of all that is not dense weights, from the parts of their gradients.
constexpr int ALONE = BT / 4, OF2 = M2 * DEPTH, OF1 = M1 * (TAPS1 + 1), FILTERS = OF2 + M2 + OF1;
constexpr int FILTER_BLOCKS = (FILTERS + ALONE - 1) / ALONE;

extern "C" __global__ void __launch_bounds__(BT)
deep_learn(const int* step, int offset, int n, const float* table, int blocks1, int blocks2, const float* sums1,
           const float* sums2, const float* sumsb, const float* hidden, const float* dz2, const float* dz1,
           float* filters1, float* mf1, float* vf1, float* biases1, float* mb1, float* vb1, float* filters2, float* mf2,
           float* vf2, float* biases2, float* mb2, float* vb2, float* b1, float* mh, float* vh, float* W2o, float* mW2,
           float* vW2, float* b2, float* mo, float* vo) {
  const float* rates = table + (size_t)(*step + offset) * LAYERS * NUMBERS;
  if (blockIdx.x >= FILTER_BLOCKS) {
    learn_rest(blockIdx.x - FILTER_BLOCKS, n, hidden, dz2, dz1, rates, W2o, mW2, vW2, b2, mo, vo, b1, mh, vh);
    return;
  }
  float* red = (float*)SHARED;
  const int t = threadIdx.x, e = blockIdx.x * ALONE + t % ALONE, part = t / ALONE;
  const bool of2 = e < OF2, ofb = !of2 && e < OF2 + M2;
  const float* from = of2 ? sums2 + e : ofb ? sumsb + e - OF2 : sums1 + e - OF2 - M2;
  const int stride = of2 ? OF2 : ofb ? M2 : OF1, count = of2 || ofb ? blocks2 : blocks1;
  float sum = 0.f;
  if (e < FILTERS)
#pragma unroll 8
    for (int b = part; b < count; b += 4) sum += from[(size_t)b * stride];
  red[t] = sum;
  __syncthreads();
  if (part || e >= FILTERS) return;
  for (int q = 1; q < 4; q++) sum += red[q * ALONE + t];
  if (of2) {
    int at = (e / M1 % M2 * M1 + e % M1) * TAPS2 + e / (M1 * M2);
    Adam(rates + NUMBERS).step(sum, filters2[at], mf2[at], vf2[at]);
  } else if (ofb) {
    Adam(rates + NUMBERS).step(sum, biases2[e - OF2], mb2[e - OF2], vb2[e - OF2]);
  } else {
    int c = (e - OF2 - M2) / (TAPS1 + 1), q = (e - OF2 - M2) % (TAPS1 + 1), at = c * TAPS1 + q;
    if (q < TAPS1)
      Adam(rates).step(sum, filters1[at], mf1[at], vf1[at]);
    else
      Adam(rates).step(sum, biases1[c], mb1[c], vb1[c]);
  }
}
