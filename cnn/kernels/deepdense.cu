// The dense layer's sums in parts: SLICE features of every SPLITth TI images a block. If PRECISE, each factor is cut in
// two and three products are added, nearly those of float32: rounding could take a sum to the other side of ReLU's cut.
constexpr int DT = 512, DWARPS = DT / 32;  // threads of a block in this kernel and the next
constexpr int UNIT_TILES = round_up(HID, 16) / 16;
constexpr int ES = row_of(SLICE), JS = row_of(UNIT_TILES * 16);  // from row to row of features and of units

extern "C" __global__ void __launch_bounds__(DT)
deep_dense(int n, const float* pooled, const u32* peaks, const float* dense, float* parts, const float* filters2,
           float* lengths) {
  constexpr int DOWN = TI / 16 < 4 ? TI / 16 : 4, MT = TI / 16 / DOWN;  // of the warps, and tiles of one
  constexpr int ACROSS = DWARPS / DOWN, NT = (UNIT_TILES + ACROSS - 1) / ACROSS;
  Cell *ps = (Cell*)SHARED, *ws = ps + TI * ES, *ps_rest = ws + SLICE * JS, *ws_rest = ps_rest + TI * ES;
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
  if (PRECISE) weights.store_rest(ws_rest, LARGER);
  follow();
  for (int from = share * TI; from < n; from += SPLIT * TI) {
    features.load(pooled + (size_t)from * FEATURES + first, FEATURES, n - from, FEATURES - first);
    const Scale by(__uint_as_float(peaks[1]));
    features.store(ps, by.by);
    if (PRECISE) features.store_rest(ps_rest, by.by);
    __syncthreads();
    float sums[MT][2 * NT][4] = {};
#pragma unroll 2
    for (int f = 0; f < SLICE; f += 16) {
      Pair a[MT][4], b[NT][4], rest[MT][4];
      const int row = m0 * 16 * ES + f + sixteen_rows<ES>(), column = f * JS + sixteen_rows<JS>();
#pragma unroll
      for (int j = 0; j < NT; j++) fetch<true>(b[j], ws + column + min(n0 + j, UNIT_TILES - 1) * 16);
      if (PRECISE) {
#pragma unroll
        for (int m = 0; m < MT; m++) fetch<false>(rest[m], ps_rest + row + m * 16 * ES);
        multiply(sums, rest, b);
      }
#pragma unroll
      for (int m = 0; m < MT; m++) fetch<false>(a[m], ps + row + m * 16 * ES);
      multiply(sums, a, b);
      if (PRECISE) {
#pragma unroll
        for (int j = 0; j < NT; j++) fetch<true>(b[j], ws_rest + column + min(n0 + j, UNIT_TILES - 1) * 16);
        multiply(sums, a, b);
      }
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
        if (i < n && f < there) {
          *(float2*)(gradient + (size_t)i * FEATURES + first + f) = both;
          top = fmaxf(top, fmaxf(fabsf(both.x), fabsf(both.y)));
        }
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
