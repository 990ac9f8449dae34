// The convolutions' way back in deep.cu's nets, and Adam's step of all that is not dense weights.

// The gradient by the first layer's outputs, RD rows of an image a block, and what it says to the first filters.
constexpr int PW = W1 + K2W - 1, PR = RD + K2H - 1;  // the second convolution's gradient with a margin of zeros
constexpr int PDS = OC + 4, PWS = round_up(DEPTH, 32) + 8, POS = M1 + 1;
constexpr int PWM = BT / 32 / DWN, PMT = (round_up(RD * W1, 16) / 16 + PWM - 1) / PWM, PCT = (M1 / 8 + DWN - 1) / DWN;
constexpr int PIXEL_TILES = (H1 + RD - 1) / RD;

extern "C" __global__ void __launch_bounds__(BT)
deep_pixels(const float* x, const int* images, const int* step, int offset, int batch, const float* filters1,
            const float* biases1, const float* filters2, float scale, const float* gradient, const u8* places,
            float* sums1) {
  float* shared = (float*)SHARED;
  float *xs = shared, *ds = xs + IMAGE, *ws = ds + PR * PW * PDS, *out = ds;
  const int t = threadIdx.x, tile = blockIdx.x % PIXEL_TILES, i = blockIdx.x / PIXEL_TILES, first = tile * RD;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int image = images[i];
  fetch_image<BT>(xs, x + (size_t)image * C * H * W, MOVED ? Move(i, step, offset) : Move());
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
    stage<BT, OC, DEPTH, PWS>(ws, filters2 + channel * DEPTH, DEPTH);
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
  constexpr int STRIPS = (W1 + STEP - 1) / STEP, UNITS = BT / M1;
  const int c = t % M1, unit = t / M1, rows = min(RD, H1 - first);
  float w[TAPS1], taps[TAPS1 + 1] = {};
#pragma unroll
  for (int q = 0; q < TAPS1; q++) w[q] = filters1[c * TAPS1 + q];
  for (int s = unit; unit < UNITS && s < rows * STRIPS; s += UNITS) {
    const int y = s / STRIPS, col = s % STRIPS * STEP;
    const Strip strip(xs, w, biases1[c], first + y, col);
    float d[P1][4] = {};
#pragma unroll
    for (int q = 0; q < STEP; q++) {
      int place;
      float g = strip.largest(q, place) > 0.f && col + q < W1 ? out[(y * W1 + col + q) * POS + c] : 0.f;
#pragma unroll
      for (int k = 0; k < P1 * P1; k++) d[k / P1][q * P1 + k % P1] = place == k ? g : 0.f;
      taps[TAPS1] += g;
    }
    Strip::each(xs, first + y, col, [&](int tap, int p, int k, float seen) { taps[tap] += d[p][k] * seen; });
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
deep_filters(const float* x, const int* images, const int* step, int offset, int batch, int n, const float* filters1,
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
    const int image = images[i];
    __syncthreads();
    fetch_image<WT>(xs, x + (size_t)image * C * H * W, MOVED ? Move(i, step, offset) : Move());
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
#pragma unroll 16
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
