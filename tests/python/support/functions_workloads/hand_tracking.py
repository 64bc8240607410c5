"""The distances from measured points to a skinned hand, by its pose and by where they touch it.

The hand has a wrist and five fingers of three bones. Its pose is 26 numbers: the wrist's turn
(axis-angle) and place, then for each finger the angles of spreading and of bending at its three
joints. A vertex follows its bones by linear blend skinning. Each measured point touches a triangle
of vertices at two barycentric coordinates of its own, so that the Jacobian takes 28 directions,
however many points there are: 26 of the pose, and 2 that move all coordinates at once.
"""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

import tapegrad
from support.functions_workloads.rotation import matrix, rotate, turned_by_turn

Number = Any
Array = Any  # numpy.ndarray, of float64 or of traced numbers

FINGERS, JOINTS = 5, 3
BONES = 1 + FINGERS * JOINTS  # the palm is bone 0
POSE = 6 + FINGERS * (JOINTS + 1)
DIRECTIONS = POSE + 2


def parent(bone: int) -> int:
    """The bone that this one hangs on; the palm's is itself."""
    return 0 if (bone - 1) % JOINTS == 0 else bone - 1


def first_angle(bone: int) -> int:
    """Which of the pose's numbers bends the bone; the one before spreads a finger's first bone."""
    finger, joint = divmod(bone - 1, JOINTS)
    return 6 + finger * (JOINTS + 1) + 1 + joint


def rest_places() -> list[list[float]]:
    """Where the joints are when nothing is bent: fingers along y, side by side along x."""
    places = [[0.0, 0.0, 0.0]]
    for finger in range(FINGERS):
        for joint in range(JOINTS):
            places.append([0.4 * (finger - 2), 1.0 + (0.6 - 0.05 * finger) * joint, 0.02 * joint])
    return places


def rest_vertices() -> list[list[float]]:
    """Three vertices around the middle of each bone."""
    around = [[0.12, 0.1, 0.05], [-0.1, 0.2, 0.07], [0.03, 0.3, -0.09]]
    return [[p + a for p, a in zip(place, one, strict=True)] for place in PLACES for one in around]


def skin() -> list[dict[int, float]]:
    """The bones that each vertex follows, with their weights: its own most, the parent's some."""
    return [
        {0: 1.0} if vertex < 3 else {vertex // 3: 0.7, parent(vertex // 3): 0.3}
        for vertex in range(3 * BONES)
    ]


PLACES = rest_places()
VERTICES = rest_vertices()
SKIN = skin()


def function(step: Array, pose: Array, touches: Array, points: Array) -> Array:
    """The vectors (points x 3) from the skin to the points, a step of 28 numbers further on."""
    vertices = posed([p + s for p, s in zip(pose, step[:POSE], strict=True)])
    rows = []
    for k, (point, (u, v)) in enumerate(zip(points, touches, strict=True)):
        u, v = u + step[POSE], v + step[POSE + 1]
        a, b, c = (vertices[corner] for corner in triangle(k))
        rows.append(
            [
                point[i] - (u * a[i] + v * b[i] + (1 - u - v) * c[i])
                for i in range(3)
            ]
        )  # fmt: skip
    return np.array(rows)


def triangle(k: int) -> tuple[int, int, int]:
    """The vertices of the triangle that the k-th point touches."""
    return 5 * k % len(VERTICES), (5 * k + 1) % len(VERTICES), (7 * k + 3) % len(VERTICES)


def posed(pose: list[Number]) -> list[list[Number]]:
    """Every vertex of the hand in this pose."""
    # A bone's frame is three columns, its axes, and its joint's place, all seen from the palm.
    frames: list[tuple[list[list[Number]], list[Number]]] = [
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], PLACES[0])
    ]
    for bone in range(1, BONES):
        axes, place = frames[parent(bone)]
        offset = [a - b for a, b in zip(PLACES[bone], PLACES[parent(bone)], strict=True)]
        place = [p + d for p, d in zip(place, combined(axes, offset), strict=True)]
        angle = first_angle(bone)
        if parent(bone) == 0:
            x, y = turned(axes[0], axes[1], pose[angle - 1])
            axes = [x, y, axes[2]]
        y, z = turned(axes[1], axes[2], pose[angle])
        frames.append(([axes[0], y, z], place))
    vertices = []
    for rest, bones in zip(VERTICES, SKIN, strict=True):
        blend: list[Number] = [0.0, 0.0, 0.0]
        for bone, weight in bones.items():
            axes, place = frames[bone]
            local = combined(axes, [v - p for v, p in zip(rest, PLACES[bone], strict=True)])
            blend = [b + weight * (p + q) for b, p, q in zip(blend, place, local, strict=True)]
        vertices.append([r + t for r, t in zip(rotate(pose[:3], blend), pose[3:6], strict=True)])
    return vertices


def combined(axes: list[list[Number]], coordinates: list[float]) -> list[Number]:
    """The vector with these coordinates along these axes."""
    return [sum(axes[j][i] * coordinates[j] for j in range(3)) for i in range(3)]


def turned(
    first: list[Number], second: list[Number], angle: Number
) -> tuple[list[Number], list[Number]]:
    """Two axes turned in their plane, the first towards the second."""
    c, s = tapegrad.cos(angle), tapegrad.sin(angle)
    return (
        [c * a + s * b for a, b in zip(first, second, strict=True)],
        [c * b - s * a for a, b in zip(first, second, strict=True)],
    )


def inputs(seed: int, size: int) -> tuple[Array, Array, Array, Array]:
    """No step, a pose, and `size` points with where they touch.

    The wrist of an even seed is not turned at all, which takes the other branch of `rotate`.
    """
    random = Random(seed)
    pose = np.array([random.gauss(0, 0.4) for _ in range(POSE)])
    if seed % 2 == 0:
        pose[:3] = 0.0
    touches = np.array([[random.random(), random.random()] for _ in range(size)])
    points = np.array([[random.gauss(0, 2) for _ in range(3)] for _ in range(size)])
    return np.zeros(DIRECTIONS), pose, touches, points


def reference(step: Array, pose: Array, touches: Array, points: Array) -> Array:
    """The Jacobian (points x 3 x 28) by the geometry of joints: axis x (vertex - joint)."""
    vertices, moves = vertex_moves(pose + step[:POSE])
    jacobian = np.zeros((len(points), 3, DIRECTIONS))
    for k, (u, v) in enumerate(touches + step[POSE:]):
        a, b, c = triangle(k)
        jacobian[k, :, :POSE] = -(u * moves[a] + v * moves[b] + (1 - u - v) * moves[c])
        jacobian[k, :, POSE] = vertices[c] - vertices[a]
        jacobian[k, :, POSE + 1] = vertices[c] - vertices[b]
    return jacobian


def vertex_moves(pose: Array) -> tuple[Array, Array]:
    """All vertices, and how each moves with each of the pose's numbers (vertices x 3 x 26)."""
    rotations, places = [np.eye(3)], [np.zeros(3)]
    # The turns that move a bone: which of the pose's numbers, its axis and its place.
    turns: list[list[tuple[int, Array, Array]]] = [[]]
    for bone in range(1, BONES):
        above = rotations[parent(bone)]
        offset = np.subtract(PLACES[bone], PLACES[parent(bone)])
        place = places[parent(bone)] + above @ offset
        angle, joints = first_angle(bone), list(turns[parent(bone)])
        if parent(bone) == 0:
            joints.append((angle - 1, above[:, 2], place))
            above = above @ matrix(np.array([0.0, 0.0, pose[angle - 1]]))
        joints.append((angle, above[:, 0], place))
        rotations.append(above @ matrix(np.array([pose[angle], 0.0, 0.0])))
        places.append(place)
        turns.append(joints)
    wrist = matrix(pose[:3])
    vertices, moves = np.zeros((len(VERTICES), 3)), np.zeros((len(VERTICES), 3, POSE))
    for n, (rest, bones) in enumerate(zip(VERTICES, SKIN, strict=True)):
        blend = np.zeros(3)
        for bone, weight in bones.items():
            follower = places[bone] + rotations[bone] @ np.subtract(rest, PLACES[bone])
            blend += weight * follower
            for number, axis, place in turns[bone]:
                moves[n, :, number] += weight * (wrist @ np.cross(axis, follower - place))
        vertices[n] = wrist @ blend + pose[3:6]
        moves[n, :, :3] = turned_by_turn(pose[:3], blend)
        moves[n, :, 3:6] = np.eye(3)
    return vertices, moves
