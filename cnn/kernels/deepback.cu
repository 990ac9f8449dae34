// The convolutions' way back in deep.cu's nets, and Adam's step of all that is not dense weights.

// What the gradient by the second convolution's sums is multiplied by before it is rounded to halves.
__device__ inline Scale gradient_scale(const u32* peaks, float scale) {
  return Scale(__uint_as_float(peaks[0]) * scale);
}

// The gradient by the first layer's outputs, RD rows of an image a block, and what it says to the first filters.
constexpr int PT = 32 * PWARPS, PW = W1 + K2W - 1, PR = RD + K2H - 1;  // the gradient with a margin of zeros
constexpr int PDS = row_of(M2), PWS = row_of(M1P), PSEEN = PR * PW * PDS, POS = M1 + 1;
constexpr int PWM = PWARPS / DWN, PMT = (round_up(RD * W1, 16) / 16 + PWM - 1) / PWM, PNT1 = M1P / 8 / DWN;
constexpr int PIXEL_TILES = (H1 + RD - 1) / RD;

extern "C" __global__ void __launch_bounds__(PT)
deep_pixels(const float* x, const int* images, const int* step, int offset, int batch, const Cell* packed,
            const u8* places1, float scale, const float* gradient, const u8* places, const u32* peaks, float* sums1) {
  float *xs = (float*)SHARED, *out = xs + IMAGE;
  Cell *ds = (Cell*)out, *ws = ds + PSEEN;
  const int t = threadIdx.x, tile = blockIdx.x % PIXEL_TILES, i = blockIdx.x / PIXEL_TILES, first = tile * RD;
  const int lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int image = images[i];
  fetch_rows<PT, M1P, PWS>(ws, packed, TAPS2 * M2);
  fetch_done();
  fetch_image<PT>(xs, x + (size_t)image * C * H * W, MOVED ? Move(i, step, offset) : Move());
  clear<PT>(ds, PSEEN);
  follow();
  const Scale by = gradient_scale(peaks, scale);
  __syncthreads();
  // Row r of `ds` is row first + PAD2Y - (K2H - 1) + r of the second convolution, column c its c + PAD2X - (K2W - 1).
  spread<PT, PW, PDS, K2W - 1 - PAD2X>(ds, gradient + (size_t)i * FEATURES, places + (size_t)i * FEATURES,
                                       scale * by.by, first + PAD2Y - (K2H - 1), PR);
  fetched<0>();
  __syncthreads();

  const int m0 = warp % PWM * PMT, n0 = warp / PWM * PNT1;
  const Cell* rows[PMT];
#pragma unroll
  for (int m = 0; m < PMT; m++) {
    const int p = min((m0 + m) * 16 + lane % 16, RD * W1 - 1);
    rows[m] = ds + (p / W1 * PW + p % W1) * PDS + lane / 16 * 8;
  }
  const Cell* columns = ws + sixteen_rows<PWS>() + n0 * 8;
  float sums[PMT][PNT1][4] = {};
#pragma unroll 1
  for (int tap = 0; tap < TAPS2; tap++) {
    const int from = ((K2H - 1 - tap / K2W) * PW + K2W - 1 - tap % K2W) * PDS, row = tap * M2 * PWS;
#pragma unroll
    for (int o = 0; o < M2; o += 16) {
      Pair a[PMT][4], b[PNT1 / 2][4];
#pragma unroll
      for (int m = 0; m < PMT; m++) fetch<false>(a[m], rows[m] + from + o);
#pragma unroll
      for (int n = 0; n < PNT1 / 2; n++) fetch<true>(b[n], columns + row + o * PWS + n * 16);
      multiply(sums, a, b);
    }
  }
  __syncthreads();
  const float back = by.back / LARGER;
#pragma unroll
  for (int m = 0; m < PMT; m++)
#pragma unroll
    for (int n = 0; n < PNT1; n++)
#pragma unroll
      for (int r = 0; r < 4; r++) {
        int p = (m0 + m) * 16 + r / 2 * 8 + g, c = (n0 + n) * 8 + 2 * k + r % 2;
        if (p < RD * W1 && c < M1) out[p * POS + c] = sums[m][n][r] * back;
      }
  __syncthreads();

  // The first filters' gradient, a channel and a part of the strips a thread; where ReLU cut off, nothing comes back.
  constexpr int STRIPS = (W1 + STEP - 1) / STEP, UNITS = PT / M1;
  const int c = t % M1, unit = t / M1, there = min(RD, H1 - first);
  const u8* kept = places1 + (size_t)(i * H1 + first) * W1 * M1 + c;
  float taps[TAPS1 + 1] = {};
#pragma unroll 2
  for (int s = unit; unit < UNITS && s < there * STRIPS; s += UNITS) {
    const int y = s / STRIPS, col = s % STRIPS * STEP;
    float d[P1][4] = {};
#pragma unroll
    for (int q = 0; q < STEP; q++) {
      const int p = y * W1 + col + q, place = col + q < W1 ? kept[p * M1] : NOWHERE;
      const float g = place == NOWHERE ? 0.f : out[p * POS + c];
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
  for (int e = t; e < M1 * (TAPS1 + 1); e += PT) {
    float sum = 0.f;
    for (int u = 0; u < UNITS; u++) sum += out[u * M1 * (TAPS1 + 1) + e];
    sums1[(size_t)blockIdx.x * M1 * (TAPS1 + 1) + e] = sum;
  }
}

// The second filters' gradient, in as many parts as there are blocks; two warps a tap, half of the filters each. Pixels
// are counted on from row to row, with the columns of padding, so that each tap is a shift.
constexpr int WT = 64 * TAPS2, WMT = M2 / 32, WNT = M1P / 8;
constexpr int WAS = row_of(M1P), WDS = row_of(M2), WPIXELS = round_up(RW * AW, 16);
constexpr int WSEEN = (WPIXELS + (K2H - 1) * AW + K2W - 1) * WAS;
constexpr int FILTER_TILES = (H2 + RW - 1) / RW;

extern "C" __global__ void __launch_bounds__(WT)
deep_filters(int n, const Cell* seen1, const float* scales1, float scale, const float* gradient, const u8* places,
             const u32* peaks, float* sums2, float* sumsb) {
  Cell *as = (Cell*)SHARED, *ds = as + WSEEN;
  const int t = threadIdx.x, lane = t % 32, warp = t / 32, g = lane / 4, k = lane % 4;
  const int tap = warp / 2, m0 = warp % 2 * WMT;
  float sums[WMT][WNT][4] = {}, biases[WMT][1][4] = {}, back = 1.f;
  Pair ones[1][4];
  set_ones(ones[0]);
  clear<WT>(ds, WPIXELS * WDS);
  clear<WT>(as, WSEEN);
  const Scale of_gradient = gradient_scale(peaks, scale);
  for (int item = blockIdx.x; item < n * FILTER_TILES; item += gridDim.x) {
    const int i = item / FILTER_TILES, first = item % FILTER_TILES * RW;
    __syncthreads();
    if (H2 % RW || RW % P || PAD2Y) {
      clear<WT>(ds, WPIXELS * WDS), clear<WT>(as, WSEEN);
      __syncthreads();
    }
    constexpr int EACH = 16 / sizeof(Cell), CHUNKS = M1P / EACH;
    for (int e = t; e < (RW + K2H - 1) * W1 * CHUNKS; e += WT) {
      const int r = e / (W1 * CHUNKS), y = first - PAD2Y + r, col = e / CHUNKS % W1, chunk = e % CHUNKS * EACH;
      if (y >= 0 && y < ROWS1)
        fetch_async(as + (r * AW + col + PAD2X) * WAS + chunk, seen1 + (size_t)((i * H1 + y) * W1 + col) * M1P + chunk);
    }
    fetch_done();
    spread<WT, AW, WDS, 0>(ds, gradient + (size_t)i * FEATURES, places + (size_t)i * FEATURES, scale * of_gradient.by,
                           first, RW);
    const float by = scales1[2 * i];
    fetched<0>();
    __syncthreads();
    if (by * back != 1.f) {  // the sums so far are taken to this image's scale
#pragma unroll
      for (int e = 0; e < WMT * WNT * 4; e++) sums[e / (WNT * 4)][e / 4 % WNT][e % 4] *= back * by;
      back = scales1[2 * i + 1];
    }
    const Cell* row = ds + eight_rows<WDS>() + m0 * 16;
    const Cell* column = as + (tap / K2W * AW + tap % K2W) * WAS + sixteen_rows<WAS>();
#pragma unroll 2
    for (int p = 0; p < WPIXELS; p += 16) {
      Pair a[WMT][4], b[WNT / 2][4];
#pragma unroll
      for (int m = 0; m < WMT; m++) fetch<true>(a[m], row + p * WDS + m * 16);
#pragma unroll
      for (int c = 0; c < WNT / 2; c++) fetch<true>(b[c], column + p * WAS + c * 16);
      multiply(sums, a, b);
      if (tap == 0) multiply(biases, a, ones);
    }
  }
  follow();  // until here nothing hangs on what deep_pixels does
  back *= of_gradient.back;
  float* mine = sums2 + (size_t)blockIdx.x * M2 * M1 * TAPS2;  // as (tap, filter, channel)
#pragma unroll
  for (int m = 0; m < WMT; m++)
#pragma unroll
    for (int c = 0; c < WNT; c++)
#pragma unroll
      for (int r = 0; r < 4; r += 2)
        if (c * 8 + 2 * k < M1)
          *(float2*)(mine + (tap * M2 + (m0 + m) * 16 + r / 2 * 8 + g) * M1 + c * 8 + 2 * k) =
              make_float2(sums[m][c][r] * back, sums[m][c][r + 1] * back);
  if (tap == 0 && k == 0)
#pragma unroll
    for (int m = 0; m < WMT; m++)
#pragma unroll
      for (int r = 0; r < 4; r += 2)
        sumsb[blockIdx.x * M2 + (m0 + m) * 16 + r / 2 * 8 + g] = biases[m][0][r] * of_gradient.back;
}

// Adam's step of all that is not dense weights, from the parts of their gradients: ALONE numbers a block, four of them
// a thread, LEARNERS threads for the same four, so that all parts are on their way at once.
constexpr int ALONE = 64, LEARNERS = THREADS * 4 / ALONE, OF2 = M2 * M1 * TAPS2, OF1 = M1 * (TAPS1 + 1);
constexpr int FILTERS = OF2 + M2 + OF1, FILTER_BLOCKS = (FILTERS + ALONE - 1) / ALONE;

extern "C" __global__ void __launch_bounds__(THREADS)
deep_learn(const int* step, int offset, int n, const float* table, int blocks1, int blocks2, const float* sums1,
           const float* sums2, const float* sumsb, const float* hidden, const float* dz2, const float* dz1, u32* peaks,
           Cell* packed, float* filters1, float* mf1, float* vf1, float* biases1, float* mb1, float* vb1,
           float* filters2, float* mf2, float* vf2, float* biases2, float* mb2, float* vb2, float* b1, float* mh,
           float* vh, float* W2o, float* mW2, float* vW2, float* b2, float* mo, float* vo) {
  const float* rates = table + (size_t)(*step + offset) * LAYERS * NUMBERS;
  follow();
  if (blockIdx.x == 0 && threadIdx.x == 0) peaks[1] = 0;  // for the next step's
  if (blockIdx.x >= FILTER_BLOCKS) {
    learn_rest<REST_PARTS>(blockIdx.x - FILTER_BLOCKS, n, hidden, dz2, dz1, rates, W2o, mW2, vW2, b2, mo, vo, b1, mh,
                           vh);
    return;
  }
  float* red = (float*)SHARED;
  const int t = threadIdx.x, part = t / (ALONE / 4), four = blockIdx.x * ALONE + t % (ALONE / 4) * 4;
  const bool fours2 = four < OF2, foursb = !fours2 && four < OF2 + M2;
  const float* from = fours2 ? sums2 + four : foursb ? sumsb + four - OF2 : sums1 + four - OF2 - M2;
  const int stride = fours2 ? OF2 : foursb ? M2 : OF1, count = fours2 || foursb ? blocks2 : blocks1;
  float4 sums = make_float4(0.f, 0.f, 0.f, 0.f);
  if (four < FILTERS)
#pragma unroll 8
    for (int b = part; b < count; b += LEARNERS) {
      const float4 more = *(const float4*)(from + (size_t)b * stride);
      sums.x += more.x, sums.y += more.y, sums.z += more.z, sums.w += more.w;
    }
  *(float4*)(red + 4 * t) = sums;
  __syncthreads();
  const int e = blockIdx.x * ALONE + t;
  if (t >= ALONE || e >= FILTERS) return;
  float sum = 0.f;
#pragma unroll
  for (int q = 0; q < LEARNERS; q++) sum += red[q * ALONE + t];
  if (e < OF2) {
    const int channel = e % M1, filter = e / M1 % M2, tap = e / (M1 * M2), at = (filter * M1 + channel) * TAPS2 + tap;
    Adam(rates + NUMBERS).step(sum, filters2[at], mf2[at], vf2[at]);
    pack(packed, tap, filter, channel, filters2[at]);
  } else if (e < OF2 + M2) {
    Adam(rates + NUMBERS).step(sum, biases2[e - OF2], mb2[e - OF2], vb2[e - OF2]);
  } else {
    int c = (e - OF2 - M2) / (TAPS1 + 1), q = (e - OF2 - M2) % (TAPS1 + 1), at = c * TAPS1 + q;
    if (q < TAPS1)
      Adam(rates).step(sum, filters1[at], mf1[at], vf1[at]);
    else
      Adam(rates).step(sum, biases1[c], mb1[c], vb1[c]);
  }
}
