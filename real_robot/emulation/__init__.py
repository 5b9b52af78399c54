"""An arm that is not there: an emulated Feetech bus behind a pseudo-terminal, a plant, cameras, faults.

How to use it (this text is the agreement with whoever builds on it)::

    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant

    with EmulatedArm(IdealPlant(), faults={36: 2.0}, seed=0) as arm:
        arm.port                      # path of the serial port, for LeRobot's robot.port
        arm.camera_port               # TCP port of the ZMQ camera, None if no views were asked for
        arm.calibration               # {"shoulder_pan": {"id": 1, "drive_mode": 0, "homing_offset": ..., ...}, ...}
        arm.write_calibration(folder, "twin")    # folder/twin.json for LeRobot's calibration_dir=folder, id=twin
        arm.inject(30)                # a fault of faults.py strikes now; at=1.5: in 1.5 s; motor=3: where
        arm.clear(30)                 # and is taken back
        arm.wire                      # WireLog: every byte in both directions with its time
        arm.positions()               # where the plant truly is, in LeRobot's units {"shoulder_pan.pos": degrees, ...}
        arm.truth()                   # (t (T,), positions (T, 6)) of the last minute, same units
        arm.torque()                  # {"shoulder_pan": bool, ...}: torque registers as the servos hold them now
        arm.struck                    # [(t, fault id, "injected" | "cleared")]

Times everywhere are ``time.perf_counter()`` seconds. ``faults``: ids that hold from the start on, or id -> seconds
after ``__enter__``. A fault that must stand before somebody connects (34, 39, 40, 44, 46, 47) belongs there, or is
injected before connecting. ``inject`` raises UserError for faults that do not happen on the arm (where == "caller");
for those of them that spoil actions see action_faults.py. ``arm.jam("elbow_flex")`` blocks a joint mechanically.

The wire log (what a benchmark judges)::

    arm.wire.goals("shoulder_pan")        # [Written(t, motor, register, value)], every goal on the bytes, ticks
    arm.wire.goals_in_units("gripper")    # (t (T,), value (T,)) in LeRobot's units (degrees, gripper 0..100)
    arm.wire.writes("Torque_Enable")      # all writes to a register, of one motor with motor="elbow_flex"
    arm.wire.torque_at(t)                 # {"shoulder_pan": 0 | 1, ...} as written until then
    arm.wire.packets(since=t)             # decoded packets of both directions, bad ones too
    arm.wire.save(path)                   # one JSON line per event, crash-proof enough to attach to a report

The plant is anything that keeps ``plant.Plant``: ``ideal_plant.IdealPlant`` needs no simulator, the MuJoCo twin comes
through yaml (configs/plant/so101.yaml: ``build(compose(...).plant)``), for wings do not import each other.
"""
