"""The page in a real browser, Chromium without a window: its fake camera shows drawn frames, and what a user does
is done.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the extra serve is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed")


@pytest.fixture(scope="module")
def work(tmp_path_factory, squares):
    """A camera's frames, a picture and a short video: squares that the detector of these tests knows."""
    folder = tmp_path_factory.mktemp("page")
    frames = [squares([(1, 1, 3)], scale=8)[0]] * 30  # 512x512, as still as the tracker wants it
    (folder / "camera.mjpeg").write_bytes(
        b"".join(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes() for frame in frames)
    )
    cv2.imwrite(str(folder / "two.png"), squares([(0, 0, 1), (2, 3, 6)], scale=4)[0])
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture(scope="module")
def address(work, detector_folder, video_factory, squares):
    video = video_factory(
        work / "source.mp4", [squares([(index // 10, 2, 5)], scale=4)[0] for index in range(40)], fps=10
    )
    command = [
        sys.executable,
        "-m",
        "emotion.cli",
        "serve",
        "--port",
        "0",
        "--model",
        str(detector_folder),
        "--backend",
        "opencv",
        "--source",
        str(video),
        "--source",
        shutil.copy(video, work / "nothing.mp4"),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONUNBUFFERED": "1"},
    ) as server:
        line = server.stdout.readline()
        assert line.startswith("emo: serving at http://127.0.0.1:"), line
        (work / "nothing.mp4").unlink()
        yield line.split()[-1]
        server.terminate()
        assert server.wait(120) in (0, -15)


@pytest.fixture(params=[1440, 390], ids=["desktop", "phone"])
def browser(request, work):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "use-fake-ui-for-media-stream",
        "use-fake-device-for-media-stream",
        f"use-file-for-fake-video-capture={work / 'camera.mjpeg'}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(work)})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": request.param < 500},
        )
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(work)})
        yield driver
        assert [
            entry for entry in driver.get_log("browser") if entry["level"] != "INFO" and "422" not in entry["message"]
        ] == []  # the broken picture's answer
        # Nothing sticks out; a phone's window grows with what does, so that it is no measure.
        assert driver.execute_script("return document.documentElement.scrollWidth") <= request.param
    finally:
        driver.quit()


def wait(check, seconds=180):  # what a loaded machine may need; a quick one goes on at once
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := check():
            return value
        time.sleep(0.1)
    raise AssertionError("the page did not come so far")


def test_what_a_user_does(browser, address, work):
    by_id = lambda name: browser.find_element("id", name)
    faces = lambda: browser.execute_script(
        "return [...document.querySelectorAll('#faces h3')].map((e) => e.textContent)"
    )
    browser.get(address)
    wait(lambda: by_id("system").find_elements("tag name", "option"))
    assert not by_id("csv").is_enabled()

    by_id("camera").send_keys("\n")  # by keyboard
    assert wait(lambda: faces() and "frames/s" in by_id("rate").text and faces())[0].startswith("#1 Surprise")
    wait(lambda: by_id("picture").get_attribute("aria-label") == "1 face: face 1 Surprise")
    assert wait(lambda: by_id("spoken").get_attribute("textContent")) == "face 1 Surprise"
    pixels = browser.execute_script(
        "const c = document.getElementById('line'); return Array.from(c.getContext('2d').getImageData(0, 0, "
        "c.width, c.height).data)"
    )
    assert (np.array(pixels).reshape(-1, 4)[:, :3] == (255, 160, 60)).all(1).sum() > 20  # the line of Surprise

    for button, name in (("csv", "emotions.csv"), ("snapshot", "emo.png")):
        (work / name).unlink(missing_ok=True)
        by_id(button).click()
        wait(lambda name=name: (work / name).exists() and (work / name).stat().st_size)
    head, *rows = (work / "emotions.csv").read_text().splitlines()
    assert (
        head.startswith("time_s,x1,y1,x2,y2,face,emotion,score,uncertain,Neutral")
        and rows
        and all(row.count(",") == head.count(",") for row in rows)
    )
    assert cv2.imread(str(work / "emo.png")) is not None
    by_id("stop").click()
    assert by_id("state").text == "Stopped." and not by_id("stop").is_enabled()

    by_id("file").send_keys(str(work / "two.png"))
    wait(lambda: by_id("state").text == "two.png: 2 faces." and len(faces()) == 2)
    browser.execute_script(
        "const c = document.getElementById('conf'); c.value = 0.95; c.dispatchEvent(new Event('change'))"
    )
    asked = (
        "return performance.getEntriesByType('resource').map((e) => e.name).filter((name) => name.includes('/detect'))"
    )
    wait(lambda: "conf=0.95" in browser.execute_script(asked)[-1])  # it is looked at again
    wait(lambda: by_id("state").text.startswith("two.png: "))
    by_id("file").send_keys(str(work / "broken.png"))
    wait(lambda: "not a picture" in by_id("state").text)
    assert faces() == []  # those of the picture before are gone
    by_id("file").send_keys(str(work / "broken.mp4"))
    wait(lambda: by_id("state").text.startswith("broken.mp4: this browser cannot play it"))

    assert (
        browser.execute_script(
            "const s = document.getElementById('server'); s.value = '0'; s.dispatchEvent(new Event('change'));"
            "return ['system', 'model', 'conf'].filter((name) => !document.getElementById(name).disabled)"
        )
        == []
    )  # it is looked at as the server was started
    wait(lambda: faces() and faces()[0].startswith("#1 "))
    wait(lambda: by_id("state").text == "The source has ended.")
    assert all(by_id(name).is_enabled() for name in ("system", "model", "conf"))
    browser.execute_script(
        "const s = document.getElementById('server'); s.value = '1'; s.dispatchEvent(new Event('change'))"
    )
    wait(lambda: by_id("state").text.endswith("nothing.mp4: no such file or folder"))


def test_everything_that_can_be_used_has_a_name_and_the_order_is_that_of_the_page(browser, address):
    browser.get(address)
    wait(lambda: browser.find_elements("css selector", "#system option"))
    unnamed = browser.execute_script("""
        return [...document.querySelectorAll('button, select, input, canvas, meter, section')]
            .filter((e) => !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.closest('label') || (e.tagName === 'BUTTON' && e.textContent.trim())))
            .map((e) => e.id || e.tagName)""")  # noqa: E501
    assert unnamed == []
    assert browser.execute_script("return document.documentElement.lang") == "en"
    seen = []
    for _ in range(9):
        browser.switch_to.active_element.send_keys("\t")
        seen.append(browser.switch_to.active_element.get_attribute("id"))
    assert (
        seen[1:7] == ["camera", "open", "server", "system", "model", "conf"] and "found" in seen
    )  # the skip link comes first
