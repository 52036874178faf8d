import { expect, test } from 'vitest';
import { commandTable } from '../../../src/cli/command-table.ts';
import type { RunOptions } from '../../../src/containers/run.ts';
import { FakeOutput, tbuild } from './fake-surroundings.ts';

test('tbuild', async () => {
  const { stdout, exitCode } = await tbuild([]);
  expect(exitCode).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "
    Usage:  tbuild [OPTIONS] PATH
            tbuild COMMAND

    Builds OCI images from Dockerfiles without a daemon, and runs them from the same store

    Commands:
      build        Build an image from a Dockerfile
      why          Show why steps were executed, or would be
      builds       List builds, what came of them, their logs
      diff         Show what a container changed, or between images
      run          Create and run a new container from an image
      ps           List containers
      logs         Fetch the logs of a container
      top          Display the running processes of a container
      stats        Display a live stream of container(s) resource usage statistics
      network      Manage networks
      events       Get real time events from the store
      volume       Manage volumes
      commit       Create a new image from a container's changes
      export       Export a container's filesystem as a tar archive
      create       Create a new container
      start        Start one or more stopped containers
      stop         Stop one or more running containers
      restart      Restart one or more containers
      kill         Kill one or more running containers
      pause        Pause all processes within one or more containers
      unpause      Unpause all processes within one or more containers
      wait         Block until containers stop, then print their exit codes
      attach       Attach to a running container
      exec         Execute a command in a running container
      port         List port mappings or a specific mapping for the container
      rename       Rename a container
      rm           Remove one or more containers
      update       Update configuration of one or more containers
      shell        Open a shell where the last RUN failed
      lock         Write down what the names in a Dockerfile stand for
      images       List images
      inspect      Return low-level information on what the store has
      history      Show the history of an image
      tag          Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
      rmi          Remove one or more images
      pull         Download an image from a registry
      push         Upload an image to a registry
      search       Search for images
      cp           Copy files from and to containers, or images
      imagetools   Show and combine what is in registries
      manifest     Show an image's manifest in its registry
      login        Log in to a registry
      logout       Log out from a registry
      load         Load images from a tar archive, an OCI layout or STDIN
      import       Make an image of a tar of files
      save         Save one or more images to a tar archive
      sbom         List the packages of an image, as a software bill of materials
      verify       Execute every RUN of a build again, and compare
      du           Show how much room the build cache takes
      prune        Remove the build cache
      fsck         Check the store
      parse        Show how a Dockerfile is read
      container    Manage containers
      image        Manage images
      builder      Manage builds
      system       Manage the store
      info         Display information about the store and the machine
      version      Show the version

    Options:
      -D, --debug     Print debug lines, and stack traces of errors
          --help      Print usage
      -v, --version   Print the version

    tbuild -t app . is short for tbuild build -t app .; run 'tbuild COMMAND --help' for more on a command.
    "
  `);
});

test('tbuild build', async () => {
  expect((await tbuild(['build', '--help'])).stdout).toMatchInlineSnapshot(`
    "
    Usage:  tbuild build [OPTIONS] PATH | URL | -

    Build an image from a Dockerfile

    What to build:
      -f, --file string                 Name of the Dockerfile (default:
                                        "PATH/Dockerfile")
          --target string               Set the target build stage to build
          --platform stringArray        Set target platform for build (format:
                                        "os/arch[/variant]", "local")
          --build-arg stringArray       Set build-time variables
          --build-context stringArray   Additional build contexts (e.g., name=path)
          --context-modes string        Modes of the context's files: as they are
                                        ("strict"), or as git has those that it
                                        tracks ("git") (default "strict")
          --label stringArray           Set metadata for an image
          --annotation stringArray      Add annotation to the image (format:
                                        "[type[platform]:]key=value")

    Where it goes:
      -t, --tag stringArray             Image identifier (format:
                                        "[registry/]repository[:tag]")
      -o, --output stringArray          Output destination (format:
                                        "type=local,dest=path")
          --on-failure path             When a "RUN" fails, put what it left at this
                                        path into the directory of --output
          --load                        Shorthand for "--output=type=docker": hand
                                        the image to the Docker or podman that is
                                        running, if there is one
          --push                        Shorthand for "--output=type=registry"
          --iidfile string              Write the image ID to a file
          --metadata-file string        Write build result metadata to a file
          --attest stringArray          Attestation parameters (format: "type=sbom",
                                        "type=provenance,mode=min")
          --provenance string           Shorthand for "--attest=type=provenance"
          --sbom string                 Shorthand for "--attest=type=sbom"
      -q, --quiet                       Suppress the build output and print image ID
                                        on success
          --progress string             Set type of progress output ("auto", "none",
                                        "plain", "quiet", "rawjson", "tty"). Use
                                        plain to show container output (default
                                        "auto")

    What RUN gets:
          --secret stringArray          Secret to expose to the build (format:
                                        "id=mysecret[,src=/local/secret|,env=NAME]")
          --ssh stringArray             SSH agent socket or keys to expose to the
                                        build (format:
                                        "default|<id>[=<socket>|<key>[,<key>]]")
          --network string              Set the networking mode for the "RUN"
                                        instructions during build ("default",
                                        "host", "none") (default "default")
          --add-host strings            Add a custom host-to-IP mapping (format:
                                        "host:ip")
          --allow stringArray           Allow extra privileged entitlement
                                        ("network.host", "security.insecure",
                                        "device", "buildx.local.delete")
          --shm-size bytes              Shared memory size for build containers
          --ulimit ulimit               Ulimit options
          --userns string               User namespace for the "RUN" instructions:
                                        one of its own ("auto"), or the host's
                                        ("host") (default "auto")
          --runtime string              OCI runtime for the "RUN" instructions
                                        ("crun", "runc", a path; also
                                        $TBUILD_RUNTIME)
          --resource stringArray        Resource limits for the "RUN" instructions
                                        ("memory=1g", "cpu-quota=50000", …)
          --cgroup-parent string        Set the parent cgroup for the "RUN"
                                        instructions during build

    What is done again:
          --cache-from stringArray      External cache sources (e.g.,
                                        "user/app:cache",
                                        "type=local,src=path/to/dir")
          --cache-to stringArray        Cache export destinations (e.g.,
                                        "user/app:cache",
                                        "type=local,dest=path/to/dir")
          --no-cache                    Do not use cache when building the image
          --no-cache-filter list        Do not cache specified stages
          --trace string                Repeat a "RUN" only for files that it looked
                                        at ("on"), for any change below it ("off"),
                                        or repeat it all the same and compare
                                        ("verify") (default "on")
          --pull                        Always attempt to pull all referenced images
          --frozen                      Refuse what is not locked (see tbuild lock)
          --reproducible                Build an image that says nothing of when,
                                        where and by whom it was built

    Instead of building:
          --check                       Shorthand for "--call=check"
          --call string                 Set method for evaluating build ("check",
                                        "outline", "targets") (default "build")

    Other options:
      -D, --debug                       Print debug lines, and stack traces of
                                        errors
      -h, --help                        Print usage

    Examples:
      tbuild -t app .                      an image in the store, for tbuild run app
      tbuild -t ghcr.io/org/app --push .   and in a registry
      tbuild -o out .                      its files in a directory; -o - writes a
                                           tar to stdout
      tbuild -o type=oci,dest=app.tar .    an archive for other tools; type=docker
                                           for docker load
    "
  `);
});

test('tbuild run: -h is the host name', async () => {
  const { stdout } = await tbuild(['run', '--help']);
  expect(stdout).toMatch(/^\nUsage: {2}tbuild run \[OPTIONS\] IMAGE \[COMMAND\] \[ARG\.\.\.\]\n/);
  expect(stdout).toMatch(/^ +-h, --hostname string +Container host name$/m);
  expect(stdout).toMatch(/^ +--help +Print usage$/m);
});

test('tbuild load', async () => {
  expect((await tbuild(['help', 'load'])).stdout).toMatchInlineSnapshot(`
    "
    Usage:  tbuild load [OPTIONS]

    Load images from a tar archive, an OCI layout or STDIN

    Options:
      -D, --debug               Print debug lines, and stack traces of errors
      -h, --help                Print usage
      -i, --input string        Read from tar archive file, instead of STDIN
          --oci-layout string   Read from an OCI layout directory
          --platform string     Load only the given platform of an image that is
                                there for several: "os/architecture[/variant]"
      -q, --quiet               Suppress the load output
      -t, --tag string          Name of the image of the OCI layout (format:
                                "[registry/]repository[:tag]")
    "
  `);
});

test.each(Object.keys(commandTable))('%s: help fits the terminal it is shown on', async (name) => {
  for (const columns of [80, 100, 200]) {
    const { stdout, exitCode } = await tbuild([name, '--help'], { stdout: new FakeOutput({ isTTY: true, columns }) });
    expect(exitCode).toBe(0);
    expect(stdout).toContain(`Usage:  tbuild ${name}`);
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(columns);
  }
});

test.each(['--help', '-h', 'help'])('%s is the help of tbuild', async (word) => {
  expect((await tbuild([word])).stdout).toContain('Commands:');
});

test('help comes before the arguments are missed', async () => {
  expect((await tbuild(['build', '-h'])).exitCode).toBe(0);
  expect((await tbuild(['run', '-h'])).stderr).toContain('flag needs a value: -h');
});

test('help for the command in a container is not ours', async () => {
  let command: readonly string[] | undefined;
  const library = {
    runContainer: async (options: RunOptions) => {
      command = options.command;
      return { id: 'f00', exitCode: 0 };
    },
  };
  expect(await tbuild(['run', 'app', 'ls', '--help'], { library })).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  expect(command).toEqual(['ls', '--help']);
});
