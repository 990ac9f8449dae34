"""The calls of CUDA by which the host waits, or may, and those that launch: CUPTI's numbers for them.

From cupti_runtime_cbid.h, cupti_driver_cbid.h and the generated_cuda*_meta.h of CUPTI 13; numbers are never used twice.
"""

from __future__ import annotations

from typing import NamedTuple

DRIVER, RUNTIME = 1 << 16, 2 << 16
"""CUPTI's domain in the upper half of a key; its number of the call is the lower."""
SYNCHRONISE, ALLOCATE, FREE, COPY = "synchronise", "allocate", "free", "copy"
_TO_DEVICE, _TO_HOST, _ON_DEVICE = "copy to the device", "copy to the host", "copy on the device"
WAYS = {0: "copy on the host", 1: _TO_DEVICE, 2: _TO_HOST, 3: _ON_DEVICE}
"""cudaMemcpyKind in words; the fifth, cudaMemcpyDefault, does not say."""


class Call(NamedTuple):
    """A call, and where in its parameters the bytes and a copy's way are; -1 for nowhere simple."""

    name: str
    kind: str
    size_at: int
    way_at: int


# domain, kind, where the bytes are, where the way is: the calls' names with their numbers
_TABLE: list[tuple[int, str, int, int, dict[str, tuple[int, ...]]]] = [
    (RUNTIME, SYNCHRONISE, -1, -1, {
        "cudaDeviceSynchronize": (165,), "cudaThreadSynchronize": (126,), "cudaStreamSynchronize": (131, 239),
        "cudaEventSynchronize": (137,),
    }),
    (RUNTIME, COPY, 16, 24, {"cudaMemcpy": (31, 215), "cudaMemcpyAsync": (41, 225)}),
    (RUNTIME, COPY, 16, 32, {
        "cudaMemcpyToSymbol": (39, 223), "cudaMemcpyFromSymbol": (40, 224),
        "cudaMemcpyToSymbolAsync": (47, 231), "cudaMemcpyFromSymbolAsync": (48, 232),
    }),
    (RUNTIME, COPY, -1, 48, {"cudaMemcpy2D": (32, 216), "cudaMemcpy2DAsync": (44, 228)}),
    (RUNTIME, COPY, 32, 40, {
        "cudaMemcpyToArray": (33, 217), "cudaMemcpyFromArray": (35, 219),
        "cudaMemcpyToArrayAsync": (42, 226), "cudaMemcpyFromArrayAsync": (43, 227),
    }),
    (RUNTIME, COPY, -1, -1, {
        "cudaMemcpy3D": (144, 245), "cudaMemcpy3DAsync": (145, 246), "cudaMemcpy2DToArray": (34, 218),
        "cudaMemcpy2DFromArray": (36, 220), "cudaMemcpy2DToArrayAsync": (45, 229),
        "cudaMemcpy2DFromArrayAsync": (46, 230), "cudaMemcpyBatchAsync": (482, 483, 509, 510),
    }),
    (RUNTIME, _ON_DEVICE, 32, -1, {"cudaMemcpyPeer": (160,), "cudaMemcpyPeerAsync": (161,)}),
    (RUNTIME, ALLOCATE, 8, -1, {
        "cudaMalloc": (20,), "cudaMallocHost": (25,), "cudaHostAlloc": (27,), "cudaMallocManaged": (206,),
        "cudaHostRegister": (152,),
    }),
    (RUNTIME, ALLOCATE, -1, -1, {"cudaMallocPitch": (21,), "cudaMallocArray": (23,), "cudaMalloc3D": (140,)}),
    (RUNTIME, FREE, -1, -1, {
        "cudaFree": (22,), "cudaFreeHost": (26,), "cudaFreeArray": (24,), "cudaHostUnregister": (153,),
    }),
    (DRIVER, SYNCHRONISE, -1, -1, {
        "cuCtxSynchronize": (17, 800), "cuStreamSynchronize": (126, 440), "cuEventSynchronize": (121,),
    }),
    (DRIVER, _TO_HOST, 16, -1, {"cuMemcpyDtoH": (278, 398), "cuMemcpyDtoHAsync": (279, 422)}),
    (DRIVER, _TO_DEVICE, 16, -1, {"cuMemcpyHtoD": (276, 397), "cuMemcpyHtoDAsync": (277, 421)}),
    (DRIVER, _ON_DEVICE, 16, -1, {"cuMemcpyDtoD": (280, 399), "cuMemcpyDtoDAsync": (281, 423)}),
    (DRIVER, _ON_DEVICE, 32, -1, {"cuMemcpyPeer": (318, 409), "cuMemcpyPeerAsync": (319, 426)}),
    (DRIVER, COPY, 16, -1, {"cuMemcpy": (305, 408), "cuMemcpyAsync": (306, 418)}),
    (DRIVER, COPY, -1, -1, {
        "cuMemcpy2D": (287, 405), "cuMemcpy2DUnaligned": (288, 406), "cuMemcpy2DAsync": (289, 424),
        "cuMemcpy3D": (290, 407), "cuMemcpy3DAsync": (291, 425), "cuMemcpyBatchAsync": (776, 777, 796, 797),
    }),
    (DRIVER, ALLOCATE, 8, -1, {
        "cuMemAlloc": (243,), "cuMemAllocHost": (294,), "cuMemHostAlloc": (39, 271), "cuMemAllocManaged": (371,),
        "cuMemHostRegister": (301, 379), "cuMemCreate": (549,),
    }),
    (DRIVER, ALLOCATE, -1, -1, {"cuMemAllocPitch": (244,)}),
    (DRIVER, FREE, -1, -1, {
        "cuMemFree": (245,), "cuMemFreeHost": (38,), "cuMemHostUnregister": (302,), "cuMemUnmap": (552,),
    }),
]  # fmt: skip
CALLS = {
    domain | number: Call(name, kind, size_at, way_at)
    for domain, kind, size_at, way_at, calls in _TABLE
    for name, numbers in calls.items()
    for number in numbers
}
"""By key, the calls by which the host waits or may."""
LAUNCHES = frozenset(
    # cudaLaunchKernel, __cudaLaunchKernel, cudaLaunchKernelExC, cudaLaunchCooperativeKernel, cudaGraphLaunch
    [RUNTIME | number for number in (211, 214, 505, 506, 430, 431, 269, 270, 311, 312)]
    # cuLaunchKernel, cuLaunchKernelEx, cuLaunchCooperativeKernel, cuGraphLaunch
    + [DRIVER | number for number in (307, 442, 652, 653, 477, 478, 514, 515)]
)
"""The keys of those that launch a kernel or a graph."""
